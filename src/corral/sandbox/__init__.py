"""How a jail is described and made: policy and profiles (data), OCI bundles (pure), runtimes.

Trust: trusted base; only the launcher, `corral doctor` and the selftest may import it.
"""
