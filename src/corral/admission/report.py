"""What a scan says: a verdict, findings and the facts of a model, as values.

Trust: operator side, gateway and scan jail; no I/O.
Input: the JSON line of a scan job is untrusted (the job may have been taken over by the file):
every field is typed, bounded and checked for printable text here before anyone sees it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from corral.admission.estimate import MemoryShape

SCANNER: Final = "corral-scan 9 (gguf 0.19)"
"""Name and version in every receipt; raise it when a rule changes."""
REPORT_BYTES: Final = 3 << 20
"""Longest report line of a scan job."""
FINDINGS: Final = 256
CONTROL_TOKENS: Final = 8192
"""Gemma reserves 6,242 of its tokens for uses to come."""
CONTROL_TOKEN_CHARS: Final = 128
TEMPLATE_CHARS: Final = 256 << 10
TEMPLATE_CODES: Final = "template_"
"""How the codes of all findings about chat templates begin."""

Severity = Literal["info", "flag", "reject"]
Verdict = Literal["accept", "flag", "reject"]
Kind = Literal["model", "adapter", "projector", "control_vector"]

_Slug = Annotated[str, Meta(pattern=r"\A[a-z0-9_]{1,48}\Z")]
_Text = Annotated[str, Meta(max_length=400)]
_Name = Annotated[str, Meta(max_length=100)]
_Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that the scanner saw.

    Attributes:
        code: stable slug, e.g. `key_duplicate`.
        where: escaped key or tensor name, or empty.
        offset: where its evidence begins in the file, in bytes; None if it has no one place.
        length: bytes of the evidence.
    """

    code: _Slug
    severity: Severity
    message: _Text
    where: Annotated[str, Meta(max_length=160)] = ""
    offset: _Count | None = None
    length: _Count = 0


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the metadata says about a model, once its structure is sound.

    Attributes:
        memory: what of the structure decides how much memory a worker takes.
        control_tokens: texts of the tokens of type CONTROL, and of those that look like such;
            input must never contain them.
        word_markers: those of them that are typed as ordinary words: Qwen's byte pairs have `<s>`.
        quantisation: the tensor type that most weights have.
        licence: `general.license` in lower case; empty if there is none, or none that is one word.
    """

    architecture: Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9_.-]{0,63}\Z")]
    context_train_tokens: Annotated[int, Meta(ge=1, le=1 << 31)]
    block_count: Annotated[int, Meta(ge=1, le=4096)]
    embedding_length: Annotated[int, Meta(ge=1, le=1 << 24)]
    head_count: Annotated[int, Meta(ge=0, le=1 << 16)]
    head_count_kv: Annotated[int, Meta(ge=0, le=1 << 16)]
    memory: MemoryShape
    parameters: _Count
    vocabulary_tokens: Annotated[int, Meta(ge=0, le=1 << 24)]
    quantisation: Annotated[str, Meta(pattern=r"\A[A-Z0-9_]{1,16}\Z")]
    has_chat_template: bool
    control_tokens: Annotated[
        tuple[Annotated[str, Meta(max_length=CONTROL_TOKEN_CHARS)], ...],
        Meta(max_length=CONTROL_TOKENS),
    ]
    licence: Annotated[str, Meta(pattern=r"\A(?:[a-z0-9][a-z0-9._+-]{0,63})?\Z")] = ""
    word_markers: Annotated[
        tuple[Annotated[str, Meta(max_length=CONTROL_TOKEN_CHARS)], ...],
        Meta(max_length=CONTROL_TOKENS),
    ] = ()


class TemplateReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of a model's chat template in the scan.

    Attributes:
        outcome: `known` in the catalogue; `passed` all checks; `refused` by one; `absent`.
        name: of the catalogue's entry, if known.
        sha256: of the template's normal form; empty if absent.
        text: the normal form, if known or passed.
        built_in: name of the built-in that fits the vocabulary; empty if none does.
        nearest: name of the catalogue's most similar entry, if the template is not known.
        added: escaped lines of the template that this entry has not.
        missing: how many lines of the entry the template has not.
    """

    outcome: Literal["known", "passed", "refused", "absent"]
    name: _Name = ""
    sha256: Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")] = ""
    text: Annotated[str, Meta(max_length=TEMPLATE_CHARS)] = ""
    built_in: _Name = ""
    nearest: _Name = ""
    added: Annotated[tuple[Annotated[str, Meta(max_length=160)], ...], Meta(max_length=40)] = ()
    missing: _Count = 0


class ProjectorFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the metadata says of a projector, once its structure is sound.

    Attributes:
        images: it is for images.
        sounds: it is for sounds.
        memory_bytes: what its encoder takes beside its weights, at most.
    """

    images: bool
    sounds: bool
    memory_bytes: _Count


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The result of one scan.

    Attributes:
        kind: what the file is; only a `model` can be served by itself.
        facts: of a model; None unless its structure is sound.
        scanner: name and version of what scanned.
        template: of a model whose structure is sound.
        projector: of a projector, likewise.
    """

    verdict: Verdict
    findings: Annotated[tuple[Finding, ...], Meta(max_length=FINDINGS)]
    facts: Facts | None
    scanner: Annotated[str, Meta(max_length=80)]
    kind: Kind = "model"
    template: TemplateReport | None = None
    projector: ProjectorFacts | None = None

    @property
    def only_template(self) -> bool:
        """Whether nothing but the chat template is wrong with the file."""
        return self.verdict != "accept" and all(
            finding.severity == "info" or finding.code.startswith(TEMPLATE_CODES)
            for finding in self.findings
        )


_decoder: Final = msgspec.json.Decoder(Report)


def make_report(
    findings: tuple[Finding, ...],
    facts: Facts | None,
    scanner: str,
    kind: Kind = "model",
    template: TemplateReport | None = None,
    projector: ProjectorFacts | None = None,
) -> Report:
    """Return the report whose verdict follows from its findings."""
    verdict = _verdict(findings, facts, kind)
    return Report(verdict, findings, facts, scanner, kind, template, projector)


def encode_report(report: Report) -> bytes:
    """Return the report as one line."""
    return msgspec.json.encode(report) + b"\n"


def parse_report(line: bytes) -> Report | None:
    """Return the report in `line`, or None if it is not one that a sound scan job prints."""
    try:
        report = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    texts = [report.scanner, *(t for f in report.findings for t in (f.message, f.where))]
    if report.template is not None:
        found = report.template
        texts += [found.name, found.built_in, found.nearest, *found.added]
    if not all(text.isprintable() for text in texts):
        return None
    if report.verdict != _verdict(report.findings, report.facts, report.kind):
        return None
    return report


def _verdict(findings: tuple[Finding, ...], facts: Facts | None, kind: Kind) -> Verdict:
    severities = {finding.severity for finding in findings}
    if (facts is None and kind == "model") or "reject" in severities:
        return "reject"
    return "flag" if "flag" in severities else "accept"
