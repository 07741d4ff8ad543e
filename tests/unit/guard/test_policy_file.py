"""sanitation.toml: what it may say, who goes by what, and what it may not leave unsaid."""

import pytest

from corral.core.errors import CorralError
from corral.guard import policy_file
from corral.guard.finding import Handling
from corral.guard.kinds import KINDS
from corral.guard.policy import BASES, built_in
from corral.guard.policy_file import Asker, parse_policy_set

RULES = """
default = "strict"
[policies.school]
base = "balanced"
mode = "report"
[policies.lab]
base = "off"
weakening = "red team, no network"
[[rules]]
key = "sk-corral-abc"
policy = "balanced"
[[rules]]
tenant = "acme"
model = "m"
route = "chat"
policy = "school"
[[rules]]
tenant = "acme"
policy = "lab"
"""


def asker(tenant: str = "t", key: str = "k", model: str = "m") -> Asker:
    return Asker(tenant, key, model, "chat")


@pytest.mark.claim("SAN-02")
def test_without_a_document_everybody_goes_by_balanced() -> None:
    found = parse_policy_set("")
    assert found.of(asker()).name == "balanced"
    assert found.of(asker()).mode == "enforce"
    assert found.used == (found.default,)


def test_the_first_rule_that_fits_says_which_policy() -> None:
    found = parse_policy_set(RULES)
    assert found.of(asker()).name == "strict"
    assert found.of(asker("acme")).name == "school"
    assert found.of(asker("acme", model="other")).name == "lab"
    assert found.of(asker("acme", key="sk-corral-abc")).name == "balanced"
    assert found.of(Asker("acme", "k", "m", "completions")).name == "lab"
    assert [one.name for one in found.used] == ["balanced", "school", "lab", "strict"]


def test_report_mode_reports_what_it_would_do_and_walls_stand() -> None:
    school = parse_policy_set(RULES).policies["school"]
    for name, handling in school.effective().items():
        if KINDS[name].wall:
            assert handling in {Handling.CLEAN, Handling.REFUSE}
        else:
            assert handling in {Handling.ALLOW, Handling.REPORT}


@pytest.mark.claim("SAN-02")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('default = "off"', "weakening"),
        ('[[rules]]\ntenant = "a"\npolicy = "off"', "weakening"),
        ('[policies.a]\nbase = "off"', "weakening"),
        ('[policies.a]\nbase = "off"\nweakening = "  "', "weakening"),
        ('default = "nobody"', "not there"),
        ('[[rules]]\npolicy = "nobody"', "not there"),
        ('[policies.strict]\nbase = "off"\nweakening = "x"', "no name"),
        ('[policies."A b"]\nbase = "strict"', "no name"),
        ('[policies.a]\nbase = "lenient"', "base"),
        ('[policies.a]\nbase = "strict"\nmood = "report"', "mood"),
        ('[policies.a]\nbase = "strict"\ninput = {invalid_text = "allow"}', "invalid_text can be"),
        ('[policies.a]\nbase = "strict"\ninput = {nothing = "allow"}', "no input finding"),
        ('[policies.a]\nbase = "strict"\noutput = {invalid_text = "refuse"}', "no output finding"),
        ('[policies.a]\nbase = "strict"\noptions = {nothing = 1}', "nothing"),
        ('[[rules]]\ntenant = ""\npolicy = "strict"', "length"),
        ('[[rules]]\nroute = "embeddings"\npolicy = "strict"', "route"),
        ("default = ", "Invalid value"),
        ("a" * (policy_file.DOCUMENT_BYTES_MAX + 1), "longer"),
        ("x = " + "[" * 100_000, "depth"),
    ],
)  # fmt: skip
def test_what_a_document_may_not_say(text: str, why: str) -> None:
    with pytest.raises(CorralError, match=why) as found:
        parse_policy_set(text)
    assert found.value.code == "sanitation_invalid"


def test_the_built_in_policies_are_ordered() -> None:
    order = list(Handling)
    for name, kind in KINDS.items():
        strict, balanced, off = (order.index(built_in(b).handling[name]) for b in BASES)
        assert strict >= balanced >= off
        assert {kind.strict, kind.balanced, order[off]} <= set(kind.choices)
