"""What an advisory says of a file, as a finding.

Trust: operator side; no I/O. Input: records, whose texts may be anybody's.
"""

from __future__ import annotations

from corral.admission.report import FINDINGS, Finding, Report, make_report
from corral.advisories.record import Advisory


def known_bad_finding(advisory: Advisory) -> Finding:
    """Return the finding that refuses a file: an advisory names it, or who signed it."""
    summary = "".join(c for c in advisory.summary if c.isprintable())
    message = f"{advisory.id} says that this is known to be bad: {summary}"
    return Finding("advisory_known_bad", "reject", message[:400])


def with_advisory(report: Report, advisory: Advisory | None) -> Report:
    """Return the report of a file with what an advisory says of it."""
    if advisory is None:
        return report
    # It is a reject, so that whatever falls off the end changes nothing.
    findings = (known_bad_finding(advisory), *report.findings)[:FINDINGS]
    return make_report(findings, report.facts, report.scanner, report.kind, report.template)
