"""What a scan found, for a person: a table, and what each rule in it means.

Trust: operator side. Input: a checked report; its texts of model files are printed without control
characters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from corral.cli.terminal import print_facts, print_note, print_table

if TYPE_CHECKING:
    from corral.admission.report import Finding, Report, TemplateReport

ORDER = {"info": 0, "flag": 1, "reject": 2}
_STYLES = {"info": "dim", "flag": "yellow", "reject": "bold red"}


def show_report(report: Report) -> None:
    """Print severity, rule, what and evidence of each finding, then why and references by rule."""
    from rich.text import Text

    findings = sorted(report.findings, key=lambda f: -ORDER[f.severity])
    print_table(
        ("SEVERITY", "RULE", "WHAT", "EVIDENCE"),
        (
            (Text(f.severity, style=_STYLES[f.severity]), f.code, f.message, _evidence(f))
            for f in findings
        ),
        empty="nothing found",
    )
    _show_rules(list(dict.fromkeys(f.code for f in findings)))
    if report.template is not None:
        _show_template(report.template)
    print_note(f"verdict: {report.verdict}")


def _evidence(finding: Finding) -> str:
    place = ""
    if finding.offset is not None:
        place = f"bytes {finding.offset}-{finding.offset + finding.length}"
    return ", ".join(part for part in (finding.where, place) if part) or "-"


def _show_rules(codes: list[str]) -> None:
    from corral.admission.rules import reference_address, rules

    for code in codes:
        if (rule := rules().get(code)) is None:
            continue
        references = (f"{text}  {reference_address(text)}".rstrip() for text in rule.references)
        print_facts((
            (code, rule.title),
            ("  why", rule.why),
            ("  do", rule.mend),
            *(("  see", reference) for reference in references),
        ))  # fmt: skip


def _show_template(template: TemplateReport) -> None:
    name = f" ({template.name})" if template.name else ""
    print_note(f"chat template: {template.outcome}{name}")
    if template.nearest:
        print_note(
            f"most like {template.nearest}, without {template.missing} of its lines and with:"
        )
        for line in template.added:
            print_note(f"  + {line}")
