"""`corral selftest`: run attacks under each zone's shipped profile, and each one outside as control.

Trust: operator side. What runs in a jail is `probes`; what it says is treated as hostile.
"""
