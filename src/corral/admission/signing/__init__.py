"""Detached signatures of models: OpenSSF model-signing (OMS v1.0), cosign, and whom to trust.

Trust: operator side. See ADR 19 for why no library does it.
"""
