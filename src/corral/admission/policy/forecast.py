"""What a policy will say of a sound model, as far as it can be known before the model is there.

Trust: operator side; pure. Input: the policy in force; what was demanded, and what servers claim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from corral.admission.policy.decide import decide
from corral.admission.policy.document import Cap, Grant, Policy, conditions
from corral.admission.policy.subject import Evidence, Subject
from corral.admission.policy.verdict import Decision
from corral.admission.signing.signer import Signer
from corral.admission.trust_level import Trust

_IN_THE_FILE: Final = frozenset({
    "licences", "licences_other_than", "architectures", "architectures_other_than",
    "parameters_max", "parameters_over", "templates", "memory_bytes_max", "memory_bytes_over",
})  # fmt: skip
_SIZE: Final = frozenset({"size_bytes_max", "size_bytes_over"})
_DIGEST: Final = frozenset({"digests"})


@dataclass(frozen=True, slots=True)
class Forecast:
    """A decision that nothing in the file speaks against.

    Attributes:
        trust: the level; None: refused, or it cannot be known yet.
        decision: how it would come about.
        waits_for: conditions of the policy whose facts are not known yet.
    """

    trust: Trust | None
    decision: Decision
    waits_for: tuple[str, ...]


def foresee(
    policy: Policy,
    *,
    source: str,
    digest: str | None,
    size_bytes: int | None,
    evidence: frozenset[Evidence],
    signers: tuple[Signer, ...],
) -> Forecast:
    """Return what would be decided if the scan finds nothing.

    Args:
        policy: in force.
        source: canonical text.
        digest: of the file, or None.
        size_bytes: of the file, or None.
        evidence: what is demanded of the bytes.
        signers: whose demanded signatures hold.
    """
    subject = Subject(
        source=source, digest=digest or "", size_bytes=size_bytes or 0, parameters=0,
        memory_bytes=0, architecture="", licence="", evidence=evidence, signers=signers,
        findings=(), template="passed",
    )  # fmt: skip
    unknown = _IN_THE_FILE | (_SIZE if size_bytes is None else frozenset())
    unknown |= _DIGEST if digest is None else frozenset()
    rules: list[Grant | Cap] = [*policy.grants, *policy.caps]
    used = {name for rule in rules for name in conditions(rule)}
    trust, decision = decide(policy, subject, now_s=0)
    waits_for = tuple(sorted(used & unknown))
    admitted = decision.outcome == "admit" and not waits_for
    return Forecast(trust if admitted else None, decision, waits_for)
