"""`corral-launcher`: the privileged zone; starts jails and hands out descriptors, nothing else.

Trust: trusted base. It never parses a byte that came from a tenant, a model, an engine or the
network, and imports no third-party code.
"""
