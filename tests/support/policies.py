"""Policies and subjects for tests: the shipped policy, and a model of which nothing is known."""

from __future__ import annotations

from dataclasses import replace

from corral.admission.policy.document import Policy, parse_policy
from corral.admission.policy.shipped import default_policy_text
from corral.admission.policy.subject import Subject
from corral.admission.policy.verdict import Allowance, Decision

DEFAULT = parse_policy(default_policy_text())
DECIDED = Decision(
    policy=DEFAULT.name, policy_sha256=DEFAULT.sha256, rule="sound", outcome="admit",
    reasons=("Nothing was demanded: neither digest nor signature; anybody made it.",),
    allowance=Allowance(), decided_at=1_700_000_060,
)  # fmt: skip
HEAD = 'format = 1\nname = "p"\ndescription = "d"\n'
ANYTHING = '[[grant]]\nrule = "any"\nlevel = "untrusted"\nwhy = "w"\n'
PLAIN = Subject(
    source="hf://org/repo/m.gguf@main", digest="a" * 64, size_bytes=1536, parameters=1000,
    memory_bytes=10_000, architecture="llama", licence="", evidence=frozenset(), signers=(),
    findings=(), template="passed",
)  # fmt: skip


def policy(rules: str) -> Policy:
    """Return the policy with these rules."""
    return parse_policy((HEAD + rules).encode())


def subject(**changes: object) -> Subject:
    """Return a model that differs in some facts from one of which nothing was demanded."""
    return replace(PLAIN, **changes)  # type: ignore[arg-type]
