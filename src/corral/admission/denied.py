"""Refusals of the stages of admission, as values.

Trust: operator side; pure. Input: findings and decisions of the stages; their texts were bounded
and are printable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from corral.admission.known_bad import known_bad_finding
from corral.admission.policy.document import Policy
from corral.admission.policy.verdict import Decision
from corral.admission.report import Finding, Report
from corral.advisories.record import Advisory


@dataclass(frozen=True, slots=True)
class Denied:
    """A stage refused the model.

    Attributes:
        code: stable slug for `CorralError`.
        findings: what the scanner saw, if it was the scanner.
    """

    code: str
    message: str
    remedy: str = ""
    findings: tuple[Finding, ...] = ()


def denied_as_bad(advisory: Advisory) -> Denied:
    """Return the refusal of what an advisory names: a digest or a signer."""
    finding = known_bad_finding(advisory)
    remedy = f"read it: corral advisory show {advisory.id}"
    return Denied("advisory_known_bad", finding.message, remedy, (finding,))


def denied_by_policy(policy: Policy, decision: Decision, report: Report) -> Denied | None:
    """Return the refusal of what a policy does not admit, or None."""
    if decision.outcome == "admit":
        return None
    cap = next((c for c in policy.caps if c.rule == decision.rule), None)
    if cap is not None and report.verdict != "accept" and (cap.severities or cap.findings):
        return denied_by_scan(report)
    return denied_as_held(decision)


def denied_as_held(decision: Decision) -> Denied:
    """Return the refusal of what the policy holds back."""
    return Denied(
        "policy_refused",
        f"the policy {decision.policy} refuses this model. {' '.join(decision.reasons)}"[:1000],
        "see what it demands: corral admit --print-policy",
    )


_CODES: Final = {"magic": "not_gguf", "truncated": "truncated", "data_extent": "truncated"}


def denied_by_scan(report: Report) -> Denied:
    """Return the refusal of what the scan did not accept."""
    worst = [f for f in report.findings if f.severity == "reject"] or [
        f for f in report.findings if f.severity == "flag"
    ]
    if not worst:
        return Denied("scan_failed", "the scan gave no facts about the model")
    first = worst[0]
    where = f" at {first.where}" if first.where else ""
    return Denied(
        _CODES.get(first.code, "scan_rejected"),
        f"the scanner refused the file: {first.message}{where} ({first.code})",
        "see every finding: corral scan PATH",
        report.findings,
    )
