"""Known-bad models, signers, constructs and engines: advisories in OSV's format, and who is hit.

Trust: operator side.
"""
