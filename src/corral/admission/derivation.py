"""What a derived model is made of besides its base's bytes, and what tells it from every other.

Trust: operator side and gateway; pure, no I/O. Input: what the stages of admission have
established; in the gateway, receipts whose signatures were verified.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

import msgspec

from corral.admission.estimate import MemoryShape
from corral.admission.policy.subject import Subject, TemplateOutcome, counted, evidence_of
from corral.admission.report import TEMPLATE_CODES, Finding
from corral.admission.signing.signer import Signer

_CONTEXT: Final = "corral derived model v1"


class LaidRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file that is laid over a model: what was known when it was admitted with it.

    Attributes:
        source, final_url, wheel_sha256, revision, manifest_sha256, fetched_at: where its bytes came
            from, as in a receipt.
        sha256_demanded, wheel_sha256_demanded, manifest_sha256_demanded: the operator gave it.
        signers: whose signatures over its bytes were verified.
        findings: what the scanner saw in it, beside its base, and let pass.
    """

    digest: str
    size_bytes: int
    source: str
    final_url: str = ""
    wheel_sha256: str = ""
    revision: str = ""
    manifest_sha256: str = ""
    sha256_demanded: bool = False
    wheel_sha256_demanded: bool = False
    manifest_sha256_demanded: bool = False
    signers: tuple[Signer, ...] = ()
    findings: tuple[Finding, ...] = ()
    fetched_at: int = 0


class AdapterRecord(LaidRecord, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A LoRA adapter.

    Attributes:
        scale: how strongly, in thousandths.
    """

    scale: int

    @property
    def how(self) -> str:
        """In what way it is laid over its base, for `pair_digest`."""
        return str(self.scale)


class ProjectorRecord(LaidRecord, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A projector (mmproj): what makes images fit for a model.

    Attributes:
        memory_bytes: what its encoder takes beside its weights, at most.
    """

    memory_bytes: int

    @property
    def how(self) -> str:
        """In what way it is laid over its base, for `pair_digest`."""
        return "projector"


class Derivation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a model was made from an admitted one.

    Attributes:
        base: name that the base had then.
        template_sha256: of the chat template that the operator gave, in its normal form; empty if
            none: the base's own is served.
        base_template, base_template_sha256: what became of the base's own template, and its digest.
        base_findings: what was found in the base's own template and let pass.
        adapter: what is laid over the base's weights; None: nothing.
        projector: what is laid over it instead; None: nothing.
    """

    base: str
    template_sha256: str = ""
    base_template: TemplateOutcome
    base_template_sha256: str
    base_findings: tuple[Finding, ...] = ()
    adapter: AdapterRecord | None = None
    projector: ProjectorRecord | None = None

    @property
    def laid(self) -> AdapterRecord | ProjectorRecord | None:
        """The file that is laid over the base; there is one at most."""
        return self.adapter or self.projector

    def under(self, record: AdapterRecord | ProjectorRecord) -> Derivation:
        """Return the same with a file laid over it."""
        if isinstance(record, AdapterRecord):
            return msgspec.structs.replace(self, adapter=record)
        return msgspec.structs.replace(self, projector=record)

    def memory(self, base: MemoryShape) -> MemoryShape:
        """Return what decides about memory, with what is laid over the base."""
        if self.adapter is not None:
            return msgspec.structs.replace(base, adapter_bytes=self.adapter.size_bytes)
        if self.projector is not None:
            taken = self.projector.size_bytes + self.projector.memory_bytes
            return msgspec.structs.replace(base, projector_bytes=taken)
        return base


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
    laid = f"{derivation.laid.digest} {derivation.laid.how}" if derivation.laid else "-"
    parts = (_CONTEXT, digest, template_sha256, laid)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def template_findings(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return those about a chat template."""
    return tuple(one for one in findings if one.code.startswith(TEMPLATE_CODES))


def subjects_of(whole: Subject, derivation: Derivation | None) -> tuple[Subject, ...]:
    """Return all that a policy must admit, of which the least trusted gives the level.

    A template that the operator gave must not lift a model above its base, nor what is known of the
    base what somebody else made to be laid over it. Nothing is known of such a file's licence.
    """
    if derivation is None:
        return (whole,)
    found = [whole]
    if derivation.template_sha256:
        found.append(_base_of(whole, derivation))
    laid = derivation.laid
    if laid is not None:
        found.append(replace(
            whole, part="adapter" if derivation.adapter else "projector", source=laid.source,
            digest=laid.digest, size_bytes=laid.size_bytes, licence="", signers=laid.signers,
            findings=laid.findings,
            evidence=evidence_of(
                sha256=laid.sha256_demanded,
                wheel_sha256=laid.wheel_sha256_demanded,
                manifest_sha256=laid.manifest_sha256_demanded,
                signature=bool(laid.signers),
            ),
        ))  # fmt: skip
    return tuple(found)


def _base_of(whole: Subject, derivation: Derivation) -> Subject:
    own = tuple(one for one in whole.findings if not one.code.startswith(TEMPLATE_CODES))
    outcome = derivation.base_template
    findings = counted((*own, *derivation.base_findings), outcome)
    return replace(whole, part="base", template=outcome, findings=findings)
