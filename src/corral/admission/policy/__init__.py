"""The operator's admission policy: which evidence earns which trust, and what trust may do.

Trust: operator side; the gateway has only `verdict`, the part of it that receipts carry.
"""
