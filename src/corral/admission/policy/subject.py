"""The facts about a model that a policy decides by.

Trust: operator side; pure. Input: what the stages before have established. `licence` and
`architecture` are what the file says of itself: anybody can write anything there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from corral.admission.report import TEMPLATE_CODES, Finding
from corral.admission.signing.signer import Signer

Evidence = Literal["sha256", "wheel_sha256", "manifest_sha256", "signature"]
TemplateOutcome = Literal["known", "passed", "replaced", "absent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One model.

    Attributes:
        source: canonical form of where its bytes were fetched from.
        digest: sha256 of the file.
        memory_bytes: of one worker, estimated for the configured context and parallel requests; 0
            as long as it is not known, which speaks neither for nor against it.
        licence: `general.license` of the file, lower case; empty if it has none.
        evidence: what the operator demanded of the bytes, and was fulfilled.
        signers: whose signatures over the bytes were verified.
        findings: what the scanner saw and did not reject.
        template: what became of the chat template.
        part: which part of a derived model this is about; empty: the whole model.
    """

    source: str
    digest: str
    size_bytes: int
    parameters: int
    memory_bytes: int
    architecture: str
    licence: str
    evidence: frozenset[Evidence]
    signers: tuple[Signer, ...]
    findings: tuple[Finding, ...]
    template: TemplateOutcome
    part: Literal["", "base", "adapter", "projector"] = ""


def evidence_of(
    *, sha256: bool, wheel_sha256: bool, manifest_sha256: bool, signature: bool
) -> frozenset[Evidence]:
    """Return what was demanded and fulfilled, each by its name."""
    given: dict[Evidence, bool] = {
        "sha256": sha256,
        "wheel_sha256": wheel_sha256,
        "manifest_sha256": manifest_sha256,
        "signature": signature,
    }
    return frozenset(name for name, was_given in given.items() if was_given)


def counted(findings: tuple[Finding, ...], template: TemplateOutcome) -> tuple[Finding, ...]:
    """Return the findings that count: those about a template that was replaced do not."""
    if template != "replaced":
        return findings
    return tuple(f for f in findings if not f.code.startswith(TEMPLATE_CODES))
