"""`corral selftest`: attacks under each zone's shipped profile, each also outside as the control.

Trust: operator side. What runs in a jail is `probes`; what it says is treated as hostile.
"""
