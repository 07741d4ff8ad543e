"""Examine all chat templates of a file, and say what is to become of the one that serves.

Trust: scan jail. Input: untrusted texts of a model file. Only `tokenizer.chat_template` may serve;
named ones (`tokenizer.chat_template.tool_use`) are examined because other engines prefer them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from corral.admission.report import Finding, TemplateReport
from corral.admission.template.analysis import analyse_template
from corral.admission.template.builtin_templates import fitting_built_in
from corral.admission.template.known import known_template, nearest_template
from corral.admission.template.limits import TEXT_BYTES
from corral.admission.template.normal import normalised, template_digest

TEMPLATE_KEY: Final = "tokenizer.chat_template"


def is_template(key: str) -> bool:
    """Return whether a template stands under this key."""
    return key == TEMPLATE_KEY or key.startswith(f"{TEMPLATE_KEY}.")


def examine_templates(
    texts: Mapping[str, str], *, control_tokens: tuple[str, ...], bos: str, eos: str
) -> tuple[tuple[Finding, ...], TemplateReport]:
    """Return the findings about all templates, and the outcome of the one that serves.

    Args:
        texts: templates by key.
        control_tokens: texts of the vocabulary's control tokens.
        bos: text of the token that begins a text.
        eos: text of the token that ends an answer.
    """
    findings: list[Finding] = []
    report = TemplateReport("absent")
    for key, text in texts.items():
        sha256 = template_digest(text)
        known = known_template(sha256)
        found: tuple[Finding, ...] = ()
        if known is None:
            found = analyse_template(key, text, control_tokens=control_tokens, bos=bos, eos=eos)
        findings += found
        if key == TEMPLATE_KEY:
            name = known.name if known else ""
            report = _report(text, sha256, found, name, control_tokens)
    return tuple(findings), report


def _report(
    text: str, sha256: str, found: tuple[Finding, ...], known: str, control_tokens: tuple[str, ...]
) -> TemplateReport:
    built_in = fitting_built_in(control_tokens, text[:TEXT_BYTES])
    if known:
        return TemplateReport("known", known, sha256, normalised(text), built_in)
    nearest = nearest_template(text[:TEXT_BYTES])
    passed = all(finding.severity == "info" for finding in found)
    return TemplateReport(
        "passed" if passed else "refused",
        sha256=sha256,
        text=normalised(text) if passed else "",
        built_in=built_in,
        nearest=nearest.name if nearest else "",
        added=nearest.added if nearest else (),
        missing=nearest.missing if nearest else 0,
    )
