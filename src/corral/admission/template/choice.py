"""Which template the engine is given: decided at admission, and bound by the receipt.

Trust: operator side; pure decisions. Input: the scan job's word about a hostile file. What it says
of a digest is computed again here, a known template is looked up here, and a built-in comes from
our own package, never from the job.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from corral.admission.report import TemplateReport
from corral.admission.template.builtin_templates import BUILT_INS, WITHOUT_TEMPLATE, built_in_text
from corral.admission.template.known import known_template
from corral.admission.template.normal import normalised, template_digest


class ServedTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The template of a receipt; nothing else is ever given to an engine.

    Attributes:
        outcome: `known` in the catalogue, `passed` all checks, `replaced` by a built-in, or
            `absent`: the model has none, and no chat with it is served.
        name: of the catalogue's entry or the built-in.
        found_sha256: of the file's own template; empty if it has none.
        sha256: of `text`.
        text: what the engine gets.
    """

    outcome: Literal["known", "passed", "replaced", "absent"]
    name: str
    found_sha256: str
    sha256: str
    text: str


def choose_template(report: TemplateReport, *, replacing: bool) -> ServedTemplate | None:
    """Return what the engine is to get; None if the model must be refused.

    Args:
        report: what the scan job says of the model's template.
        replacing: whether the operator wants a refused template replaced by a built-in.
    """
    match report.outcome:
        case "known" | "passed":
            return _own(report)
        case "absent":
            return _built_in("absent", WITHOUT_TEMPLATE, "")
        case "refused" if replacing:
            if report.built_in in {one.name for one in BUILT_INS}:
                return _built_in("replaced", report.built_in, report.sha256)
    return None


def _own(report: TemplateReport) -> ServedTemplate | None:
    text = report.text
    if not text or text != normalised(text) or template_digest(text) != report.sha256:
        return None
    entry = known_template(report.sha256)
    if report.outcome == "known" and entry is None:
        return None
    return ServedTemplate(
        "known" if entry else "passed", entry.name if entry else "", report.sha256, report.sha256,
        text,
    )  # fmt: skip


def _built_in(
    outcome: Literal["replaced", "absent"], name: str, found_sha256: str
) -> ServedTemplate:
    text = built_in_text(name)
    return ServedTemplate(outcome, name, found_sha256, template_digest(text), text)
