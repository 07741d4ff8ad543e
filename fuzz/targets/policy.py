"""The admission policy: a file is refused with a code of its own, or decides about any model."""

from __future__ import annotations

from corral.admission.policy.decide import decide
from corral.admission.policy.document import parse_policy
from corral.admission.policy.shipped import default_policy_text
from corral.admission.policy.subject import Subject
from corral.admission.report import Finding
from corral.core.errors import CorralError
from fuzz.target import Target

_SUBJECT = Subject(
    source="hf://org/repo/m.gguf@main", digest="a" * 64, size_bytes=9, parameters=9, memory_bytes=9,
    architecture="llama", licence="mit", evidence=frozenset({"sha256"}), signers=(),
    findings=(Finding("causal_attn", "flag", "m"),), template="passed",
)  # fmt: skip


def check(data: bytes) -> None:
    """Parse the policy and decide by it."""
    try:
        policy = parse_policy(data)
    except CorralError as error:
        if not error.code.startswith("policy_"):
            raise
        return
    trust, decision = decide(policy, _SUBJECT, now_s=0)
    if decision.outcome == "hold" and (trust, decision.allowance.tenants) != ("untrusted", ()):
        raise AssertionError("what is held back may be used")


TARGET = Target(
    "policy",
    check,
    (
        default_policy_text(),
        (
            b'format = 1\nname = "p"\ndescription = "d"\n[[grant]]\nrule = "g"\nlevel = "trusted"\n'
            b'why = "w"\nsources = ["hf://org/**"]\nlicences = ["mit"]\nsize_bytes_max = 10\n'
            b'[[cap]]\nrule = "c"\nlevel = "refuse"\nwhy = "w"\nfindings = ["template_*"]\n'
            b'[level.untrusted]\ntier = "gvisor"\ntenants = ["lab"]\nparallel_max = 1\n'
        ),
    ),
)
