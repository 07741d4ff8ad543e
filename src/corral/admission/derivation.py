"""What a derived model is made of besides its base's bytes, and what tells it from every other.

Trust: operator side and gateway; pure, no I/O. Input: what the stages of admission have
established; in the gateway, receipts whose signatures were verified.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

import msgspec

from corral.admission.policy.subject import Subject, TemplateOutcome, counted
from corral.admission.report import TEMPLATE_CODES, Finding

_CONTEXT: Final = "corral derived model v1"


class Derivation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a model was made from an admitted one.

    Attributes:
        base: name that the base had then.
        template_sha256: of the chat template that the operator gave, in its normal form; empty if
            none: the base's own is served.
        base_template, base_template_sha256: what became of the base's own template, and its digest.
        base_findings: what was found in the base's own template and let pass.
    """

    base: str
    template_sha256: str = ""
    base_template: TemplateOutcome
    base_template_sha256: str
    base_findings: tuple[Finding, ...] = ()


def identity_of(digest: str, template_sha256: str, derivation: Derivation | None) -> str:
    """Return what names an artifact: the digest of a file, or of all that a derived model is of.

    Whoever accepted one identity has not accepted another.

    Args:
        digest: of the model's file.
        template_sha256: of the template that is served.
        derivation: None: the model is the file and nothing else.
    """
    if derivation is None:
        return digest
    parts = (_CONTEXT, digest, template_sha256, "-")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def template_findings(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return those about a chat template."""
    return tuple(one for one in findings if one.code.startswith(TEMPLATE_CODES))


def subjects_of(whole: Subject, derivation: Derivation | None) -> tuple[Subject, ...]:
    """Return all that a policy must admit, of which the least trusted gives the level.

    A template that the operator gave must not lift a model above its base.
    """
    if derivation is None or not derivation.template_sha256:
        return (whole,)
    own = tuple(one for one in whole.findings if not one.code.startswith(TEMPLATE_CODES))
    outcome = derivation.base_template
    findings = counted((*own, *derivation.base_findings), outcome)
    return whole, replace(whole, part="base", template=outcome, findings=findings)
