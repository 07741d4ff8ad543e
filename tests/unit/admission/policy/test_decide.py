"""What a policy decides: monotone in findings and evidence, blind to the order of rules, closed."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.admission.policy.decide import decide
from corral.admission.policy.document import LEVELS, Cap, Grant, Policy
from corral.admission.policy.pattern import parse_pattern
from corral.admission.policy.subject import Subject
from corral.admission.policy.verdict import Allowance
from corral.admission.report import Finding
from corral.admission.rules import rules
from corral.admission.signing.signer import Signer
from tests.support.policies import ANYTHING, DEFAULT, policy, subject

SIGNER = Signer(
    name="lab", kind="key", fingerprint="sha256:" + "1" * 64, signed_name="m",
    bundle_sha256="2" * 64,
)  # fmt: skip
OTHER = msgspec.structs.replace(SIGNER, name="", fingerprint="sha256:" + "3" * 64)
FLAG = Finding("causal_attn", "flag", "m")
INFO = Finding("template_note", "info", "m")

CODES = sorted(rules())[:6]
SOURCES = ("hf://org/repo/m.gguf@main", "file:///m.gguf", "https://a.test/x/../m.gguf")
PATTERNS = ("hf://org/**", "file:///**", "https://a.test/**", "**")
WORDS = ("mit", "apache-2.0", "llama", "gemma")


def some(*values: object) -> st.SearchStrategy[tuple[object, ...] | None]:
    return st.none() | st.lists(st.sampled_from(values), min_size=1, max_size=3).map(tuple)


number = st.none() | st.integers(1, 20)
shared = {
    "sources": some(*PATTERNS),
    "digests": some("a" * 64, "b" * 64),
    "licences": some(*WORDS),
    "architectures": some(*WORDS),
    "templates": some("known", "passed", "replaced", "absent"),
}
grants = st.builds(
    Grant, rule=st.just("g"), level=st.sampled_from(LEVELS), why=st.just("w"),
    evidence=some("sha256", "signature"), signers=some("lab", "*", OTHER.fingerprint),
    size_bytes_max=number, parameters_max=number, memory_bytes_max=number, **shared,
)  # fmt: skip
caps = st.builds(
    Cap, rule=st.just("c"), level=st.sampled_from((*LEVELS, "refuse")), why=st.just("w"),
    severities=some("info", "flag"), findings=some(*CODES, "template_*"),
    sources_other_than=some(*PATTERNS), licences_other_than=some(*WORDS),
    architectures_other_than=some(*WORDS), size_bytes_over=number, parameters_over=number,
    memory_bytes_over=number, **shared,
)  # fmt: skip
policies = st.builds(
    lambda g, c: Policy(
        name="p", description="d", sha256="0" * 64, grants=tuple(g), caps=tuple(c),
        levels={level: Allowance() for level in LEVELS},
        patterns={text: parse_pattern(text) for text in PATTERNS},  # type: ignore[misc]
    ),
    st.lists(grants, max_size=5), st.lists(caps, max_size=5),
)  # fmt: skip
findings = st.builds(
    Finding, st.sampled_from((*CODES, "template_note")), st.sampled_from(("info", "flag")),
    st.just("m"),
)  # fmt: skip
subjects = st.builds(
    Subject, source=st.sampled_from(SOURCES), digest=st.sampled_from(("a" * 64, "c" * 64)),
    size_bytes=st.integers(0, 25), parameters=st.integers(0, 25), memory_bytes=st.integers(0, 25),
    architecture=st.sampled_from(WORDS), licence=st.sampled_from(("", *WORDS)),
    evidence=st.frozensets(st.sampled_from(("sha256", "signature", "wheel_sha256"))),
    signers=st.lists(st.sampled_from((SIGNER, OTHER)), max_size=2).map(tuple),
    findings=st.lists(findings, max_size=4).map(tuple),
    template=st.sampled_from(("known", "passed", "replaced", "absent")),
)  # fmt: skip


def height(policy: Policy, subject: Subject) -> int:
    """Return the level as a number; a refusal is below all."""
    trust, decision = decide(policy, subject, now_s=0)
    return -1 if decision.outcome == "hold" else LEVELS.index(trust)


@pytest.mark.claim("POL-01")
@given(policies, subjects, findings)
def test_a_finding_more_never_raises_trust(policy: Policy, model: Subject, more: Finding) -> None:
    worse = replace(model, findings=(*model.findings, more))
    assert height(policy, worse) <= height(policy, model)


@pytest.mark.claim("POL-01")
@given(policies, subjects)
def test_evidence_more_never_lowers_it(policy: Policy, model: Subject) -> None:
    better = replace(
        model, evidence=model.evidence | {"signature"}, signers=(*model.signers, SIGNER)
    )
    assert height(policy, better) >= height(policy, model)


@pytest.mark.claim("POL-01")
@given(policies, subjects, st.integers(1, 25))
def test_what_grows_never_rises(policy: Policy, model: Subject, more: int) -> None:
    """So a question that is asked before the memory is known refuses nothing that will pass."""
    for name in ("size_bytes", "parameters", "memory_bytes"):
        larger = replace(model, **{name: getattr(model, name) + more})
        assert height(policy, larger) <= height(policy, model)


@given(policies, subjects, st.randoms())
def test_the_order_of_rules_means_nothing(policy: Policy, model: Subject, random: object) -> None:
    grants, caps = list(policy.grants), list(policy.caps)
    random.shuffle(grants)  # type: ignore[attr-defined]
    random.shuffle(caps)  # type: ignore[attr-defined]
    other = replace(policy, grants=tuple(grants), caps=tuple(caps))
    assert height(other, model) == height(policy, model)


@pytest.mark.claim("POL-01")
@given(policies, subjects, caps)
def test_a_cap_more_never_raises_trust(policy: Policy, model: Subject, more: Cap) -> None:
    assert height(replace(policy, caps=(*policy.caps, more)), model) <= height(policy, model)


@pytest.mark.claim("POL-01")
@given(policies, subjects)
def test_without_a_grant_nothing_is_admitted(policy: Policy, model: Subject) -> None:
    closed = replace(policy, grants=())
    trust, decision = decide(closed, model, now_s=0)
    assert (trust, decision.outcome, decision.rule) == ("untrusted", "hold", "")
    assert not decision.allowance.admits_tenant("default")
    # Control: with a grant for anything, and no cap, everything is.
    open_grant = Grant(rule="any", level="trusted", why="w")
    opened = replace(policy, grants=(open_grant,), caps=())
    assert height(opened, model) == 2


@given(policies, subjects)
def test_the_rule_that_is_named_is_one_of_the_policy(policy: Policy, model: Subject) -> None:
    trust, decision = decide(policy, model, now_s=7)
    named = {r.rule for r in (*policy.grants, *policy.caps)}
    assert decision.rule in named or (decision.rule == "" and decision.outcome == "hold")
    assert decision.reasons
    assert decision.decided_at == 7
    assert trust in LEVELS


@pytest.mark.parametrize(
    ("facts", "outcome", "trust", "rule"),
    [
        pytest.param({}, "admit", "untrusted", "sound", id="nothing-demanded"),
        pytest.param({"findings": (INFO,)}, "admit", "untrusted", "sound", id="info"),
        pytest.param({"findings": (FLAG,)}, "hold", "untrusted", "flagged", id="flag"),
        pytest.param({"evidence": {"sha256"}}, "admit", "verified", "demanded", id="sha256"),
        pytest.param({"evidence": {"wheel_sha256"}}, "admit", "verified", "demanded", id="wheel"),
        pytest.param({"evidence": {"signature"}}, "admit", "verified", "demanded", id="signature"),
        pytest.param(
            {"evidence": {"sha256"}, "findings": (FLAG,)}, "hold", "untrusted", "flagged",
            id="flag-in-spite-of-a-digest",
        ),
    ],
)  # fmt: skip
def test_the_shipped_policy_does_what_corral_did(
    facts: dict[str, object], outcome: str, trust: str, rule: str
) -> None:
    level, decision = decide(DEFAULT, subject(**facts), now_s=0)
    assert (decision.outcome, level, decision.rule) == (outcome, trust, rule)


LAB = policy("""
[[grant]]
rule = "signed"
level = "trusted"
why = "The lab made it."
signers = ["lab"]
[[grant]]
rule = "known"
level = "verified"
why = "A publisher that we know, with a licence that we may use."
sources = ["hf://org/**"]
licences = ["mit"]
size_bytes_max = 2000
[[cap]]
rule = "odd"
level = "untrusted"
why = "Not what we use."
architectures_other_than = ["llama"]
[[cap]]
rule = "hidden"
level = "refuse"
why = "No doubts about texts."
findings = ["string_hidden", "template_*"]
severities = ["flag"]
""")


@pytest.mark.parametrize(
    ("facts", "outcome", "trust", "rule"),
    [
        pytest.param({}, "hold", "untrusted", "", id="no-licence"),
        pytest.param({"licence": "mit"}, "admit", "verified", "known", id="licence"),
        pytest.param({"licence": "mit", "size_bytes": 2001}, "hold", "untrusted", "", id="size"),
        pytest.param(
            {"licence": "mit", "source": "hf://other/m@main"}, "hold", "untrusted", "", id="source"
        ),
        pytest.param({"signers": (SIGNER,)}, "admit", "trusted", "signed", id="signed"),
        pytest.param({"signers": (OTHER,)}, "hold", "untrusted", "", id="by-another"),
        pytest.param(
            {"signers": (SIGNER,), "architecture": "rwkv"}, "admit", "untrusted", "odd", id="odd"
        ),
        pytest.param(
            {"signers": (SIGNER,), "findings": (Finding("template_io", "flag", "m"),)},
            "hold", "untrusted", "hidden", id="flagged-template",
        ),
        # One finding has the code, another one the severity: that is not what the cap says.
        pytest.param(
            {"signers": (SIGNER,), "findings": (INFO, FLAG)}, "admit", "trusted", "signed",
            id="two-halves",
        ),
    ],
)  # fmt: skip
def test_a_lab(facts: dict[str, object], outcome: str, trust: str, rule: str) -> None:
    level, decision = decide(LAB, subject(**facts), now_s=0)
    assert (decision.outcome, level, decision.rule) == (outcome, trust, rule)


def test_reasons_say_what_was_missing_and_what_was_found() -> None:
    _, decision = decide(LAB, subject(size_bytes=9999), now_s=0)
    assert decision.reasons == (
        "Nothing was demanded: neither digest nor signature; anybody made it.",
        "No grant of the policy p matches:",
        "grant signed (trusted) wants a signature by lab.",
        "grant known (verified) wants a licence of mit and bytes of at most 2,000.",
    )
    _, decision = decide(DEFAULT, subject(findings=(FLAG,), signers=(SIGNER,)), now_s=0)
    assert decision.reasons[-1] == (
        "Cap flagged refuses it: The scanner doubts it. (found: causal_attn)"
    )


def test_every_condition_of_the_language_has_a_meaning() -> None:
    for kind in (Grant, Cap):
        for name in set(kind.__struct_fields__) - {"rule", "level", "why"}:
            value: object = 5 if name.startswith(("size_", "parameters_", "memory_")) else ("x",)
            rule = kind(rule="r", level="untrusted", why="w", **{name: value})
            rules_of = {"grants": (), "caps": ()} | {f"{kind.__name__.lower()}s": (rule,)}
            one = replace(DEFAULT, patterns={"x": parse_pattern("**")}, **rules_of)  # type: ignore[arg-type]
            decide(one, subject(), now_s=0)


def test_a_policy_without_caps_takes_what_the_scanner_only_doubts() -> None:
    level, decision = decide(policy(ANYTHING), subject(findings=(FLAG,)), now_s=0)
    assert (level, decision.outcome) == ("untrusted", "admit")
