"""Text in, verdict out: what tenants may say to a model and what a model may say to them.

Trust: gateway [net]; pure decisions without I/O. Fails closed: a check that cannot decide denies.
"""
