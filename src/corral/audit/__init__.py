"""The audit log: who did what, when, from where, with what outcome; two chains of signed lines.

Trust: gateway [net] writes one chain, the operator side the other and reads both.
"""
