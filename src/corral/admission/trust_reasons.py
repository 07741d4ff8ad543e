"""Why a model has its trust level, in sentences that follow from its receipt.

Trust: operator side; pure, no I/O. Input: a receipt whose signature was verified.
"""

from __future__ import annotations

from corral.admission.receipt import Receipt


def trust_reasons(receipt: Receipt) -> tuple[str, ...]:
    """Return what was demanded of the bytes at admission; one sentence if it was nothing."""
    reasons = []
    if receipt.sha256_demanded:
        reasons.append("The operator demanded this sha256 of the file.")
    if receipt.wheel_sha256_demanded:
        reasons.append("The operator demanded the sha256 of the wheel that the file came in.")
    if receipt.manifest_sha256_demanded:
        reasons.append("The operator demanded the sha256 of the registry's manifest that names it.")
    for signer in receipt.signers:
        who = signer.name or signer.identity or "a key that the operator gave"
        reasons.append(f"Signed by {who} ({signer.kind}, {signer.fingerprint}).")
    if not reasons:
        reasons.append("Nothing was demanded: neither digest nor signature; anybody made it.")
    return tuple(reasons)
