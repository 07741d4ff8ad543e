"""Decide anew about a model that has a receipt: by its facts, under the policy of now.

Trust: operator side; pure. Input: a receipt whose signature was verified.
"""

from __future__ import annotations

import msgspec

from corral.admission.derivation import subjects_of
from corral.admission.policy.decide import decide_least
from corral.admission.policy.document import Policy
from corral.admission.policy.subject import Subject, counted, evidence_of
from corral.admission.receipt import Receipt


def subject_of(receipt: Receipt) -> Subject:
    """Return the facts that a policy decides by, as admission had established them."""
    return Subject(
        source=receipt.source,
        digest=receipt.digest,
        size_bytes=receipt.size_bytes,
        parameters=receipt.parameters,
        memory_bytes=receipt.estimate.total_bytes,
        architecture=receipt.architecture,
        licence=receipt.licence,
        evidence=evidence_of(
            sha256=receipt.sha256_demanded,
            wheel_sha256=receipt.wheel_sha256_demanded,
            manifest_sha256=receipt.manifest_sha256_demanded,
            signature=bool(receipt.signers),
        ),
        signers=receipt.signers,
        findings=counted(receipt.findings, receipt.template.outcome),
        template=receipt.template.outcome,
    )


def decided_anew(receipt: Receipt, policy: Policy, *, now_s: int) -> Receipt:
    """Return the receipt with the trust level and decision of a policy."""
    subjects = subjects_of(subject_of(receipt), receipt.derivation)
    trust, decision = decide_least(policy, subjects, now_s=now_s)
    return msgspec.structs.replace(receipt, trust=trust, decision=decision)
