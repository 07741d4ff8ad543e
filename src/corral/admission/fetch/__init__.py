"""Bring the bytes of a remote model into quarantine, by a job in a jail.

Trust: `job` and what it imports run in the fetch jail; `client` and `trust` on the operator side.
"""
