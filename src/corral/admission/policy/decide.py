"""Decide by a policy: facts in, trust level or refusal out, with the rule and the reasons.

Trust: operator side; pure. Input: a policy that `document` read, facts that the stages established.
Fail closed: no grant, no admission; a fact that is not known fulfils no condition of a grant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from corral.admission.policy.document import LEVELS, Cap, Grant, Policy, conditions, matches_code
from corral.admission.policy.reasons import evidence_reasons, unmet
from corral.admission.policy.subject import Subject
from corral.admission.policy.verdict import Allowance, Decision
from corral.admission.report import Finding
from corral.admission.trust_level import Trust

_HELD: Final = Allowance(tenants=())
"""What a model may do that nobody may use."""


def decide(policy: Policy, subject: Subject, *, now_s: int) -> tuple[Trust, Decision]:
    """Return the trust level of a model and how it came about.

    Args:
        policy: in force.
        subject: the model.
        now_s: Unix seconds, for the record alone.

    Returns:
        A refusal is the outcome `hold` with the least level.
    """
    granted = [g for g in policy.grants if not unmet_conditions(policy, g, subject)]
    capping = [c for c in policy.caps if not unmet_conditions(policy, c, subject)]
    reasons = list(evidence_reasons(subject))
    if not granted:
        reasons.append(f"No grant of the policy {policy.name} matches:")
        reasons += [
            f"grant {g.rule} ({g.level}) wants {unmet(unmet_conditions(policy, g, subject))}."
            for g in policy.grants
        ]
        return held_decision(policy, "", reasons, now_s)
    grant = max(granted, key=lambda g: LEVELS.index(g.level))
    cap = min(capping, key=_height, default=None)
    reasons.append(f"Grant {grant.rule} gives {grant.level}: {grant.why}")
    if cap is None or _height(cap) >= LEVELS.index(grant.level):
        return grant.level, _decision(policy, grant.rule, grant.level, reasons, now_s)
    if cap.level == "refuse":
        reasons.append(f"Cap {cap.rule} refuses it: {cap.why}{_seen(cap, subject)}")
        return held_decision(policy, cap.rule, reasons, now_s)
    reasons.append(f"Cap {cap.rule} leaves {cap.level}: {cap.why}{_seen(cap, subject)}")
    return cap.level, _decision(policy, cap.rule, cap.level, reasons, now_s)


def decide_least(
    policy: Policy, subjects: Sequence[Subject], *, now_s: int
) -> tuple[Trust, Decision]:
    """Return the least trusting of the decisions about a model and its parts; raises nothing.

    Args:
        policy: in force.
        subjects: the whole model first.
        now_s: Unix seconds, for the record alone.
    """
    decided = [(*decide(policy, one, now_s=now_s), one.part) for one in subjects]
    trust, decision, part = min(decided, key=lambda one: _rank(one[0], one[1]))
    if part:
        said = f"The model is derived; what its {part} gets decides."
        decision = replace(decision, reasons=(said, *decision.reasons))
    return trust, decision


def _rank(trust: Trust, decision: Decision) -> int:
    return -1 if decision.outcome == "hold" else LEVELS.index(trust)


def unmet_conditions(policy: Policy, rule: Grant | Cap, subject: Subject) -> dict[str, object]:
    """Return the conditions of a rule that do not hold; none: the rule matches."""
    return {
        name: value
        for name, value in conditions(rule).items()
        if not (
            any(_is_about(rule, finding) for finding in subject.findings)
            if isinstance(rule, Cap) and name in {"severities", "findings"}
            else _holds(policy, name, value, subject)
        )
    }


def _holds(policy: Policy, name: str, value: object, subject: Subject) -> bool:
    match name, value:
        case (("sources" | "sources_other_than"), tuple()):
            found = any(policy.patterns[text].matches(subject.source) for text in value)
            return found == (name == "sources")
        case "evidence", tuple():
            return not subject.evidence.isdisjoint(value)
        case "signers", tuple():
            names = {s.name for s in subject.signers} | {s.fingerprint for s in subject.signers}
            return bool(subject.signers) and ("*" in value or not names.isdisjoint(value))
        case "digests", tuple():
            return subject.digest in value
        case "templates", tuple():
            return subject.template in value
        case (("licences" | "licences_other_than"), tuple()):
            return (subject.licence in value) == (name == "licences")
        case (("architectures" | "architectures_other_than"), tuple()):
            return (subject.architecture in value) == (name == "architectures")
        case _, int() if name.endswith("_max"):
            return bool(getattr(subject, name.removesuffix("_max")) <= value)
        case _, int() if name.endswith("_over"):
            return bool(getattr(subject, name.removesuffix("_over")) > value)
    raise AssertionError(f"no meaning is given to the condition {name}")


def _is_about(cap: Cap, finding: Finding) -> bool:
    """Return whether one finding fulfils all that a cap says of findings."""
    if cap.severities is not None and finding.severity not in cap.severities:
        return False
    return cap.findings is None or any(matches_code(p, finding.code) for p in cap.findings)


def _height(cap: Cap) -> int:
    return -1 if cap.level == "refuse" else LEVELS.index(cap.level)


def _seen(cap: Cap, subject: Subject) -> str:
    """Name the findings that a cap is about."""
    if cap.severities is None and cap.findings is None:
        return ""
    codes = dict.fromkeys(one.code for one in subject.findings if _is_about(cap, one))
    return f" (found: {', '.join(codes)})"


def _decision(policy: Policy, rule: str, level: Trust, reasons: list[str], now_s: int) -> Decision:
    return Decision(
        policy=policy.name, policy_sha256=policy.sha256, rule=rule, outcome="admit",
        reasons=tuple(reasons), allowance=policy.levels[level], decided_at=now_s,
    )  # fmt: skip


def held_decision(
    policy: Policy, rule: str, reasons: list[str], now_s: int
) -> tuple[Trust, Decision]:
    """Return the decision that nobody may use a model, and the level that it is filed under."""
    return LEVELS[0], Decision(
        policy=policy.name, policy_sha256=policy.sha256, rule=rule, outcome="hold",
        reasons=tuple(reasons), allowance=_HELD, decided_at=now_s,
    )  # fmt: skip
