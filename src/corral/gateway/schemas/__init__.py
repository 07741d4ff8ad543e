"""Strict schemas of what callers may send; unknown fields are refused by name.

Trust: gateway [net]. Input: hostile JSON.
"""
