"""The way in of a model: pull → quarantine → verify → scan → trial load → admit.

Trust: operator side; the jobs in `fetch.job` and `scan.job` run in jails of their own.
The order is written down, as types, in `trusted_model`; `pull` walks it.
"""
