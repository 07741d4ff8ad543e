"""Tenants, keys, grants, limits and usage: who may do what, how much, and what was used.

Trust: gateway [net] and operator side. Decisions are values; failing to decide means no.
"""
