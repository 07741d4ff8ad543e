"""Backups of one installation: what belongs in them, how they are locked, made and put back.

Trust: operator side only.
"""
