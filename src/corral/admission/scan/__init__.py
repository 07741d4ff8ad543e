"""Examine a model file in a jail and say what was found, as values.

Trust: `job` and what it imports run in the scan jail; `runner` on the operator side.
"""
