"""A policy that is not understood to the last word is no policy."""

import pytest

from corral.admission.policy.document import POLICY_BYTES, parse_policy
from corral.admission.policy.shipped import default_policy_text
from corral.core.errors import CorralError
from tests.support.policies import ANYTHING, HEAD, policy


def code_of(text: bytes) -> str:
    with pytest.raises(CorralError) as caught:
        parse_policy(text)
    return caught.value.code


def cap(text: str) -> str:
    return f'{HEAD}{ANYTHING}[[cap]]\nrule = "c"\nlevel = "refuse"\nwhy = "w"\n{text}\n'


def grant(text: str) -> str:
    return f"{HEAD}{ANYTHING}{text}\n"


@pytest.mark.claim("POL-02")
@pytest.mark.parametrize(
    ("code", "text"),
    [
        pytest.param("policy_syntax", "format = ", id="not-toml"),
        pytest.param("policy_syntax", "#" * (POLICY_BYTES + 1), id="too-long"),
        pytest.param("policy_unknown_key", HEAD + "surprise = 1\n" + ANYTHING, id="top"),
        pytest.param("policy_unknown_key", grant('licenses = ["mit"]'), id="grant"),
        pytest.param("policy_unknown_key", grant('findings = ["unknown_key"]'), id="not-in-grants"),
        pytest.param("policy_unknown_key", cap('severity = ["flag"]'), id="cap"),
        pytest.param("policy_unknown_key", grant("[level.unheard]"), id="level"),
        pytest.param("policy_unknown_key", grant("[level.trusted]\nteir = 'vm'"), id="allowance"),
        pytest.param("policy_type", grant('sources = "hf://a/**"'), id="no-list"),
        pytest.param("policy_type", grant('size_bytes_max = "5"'), id="no-number"),
        pytest.param("policy_value", HEAD, id="no-grant"),
        pytest.param("policy_value", (HEAD + ANYTHING).replace("= 1", "= 2"), id="format"),
        pytest.param("policy_value", (HEAD + ANYTHING).replace("untrusted", "tusted"), id="word"),
        pytest.param("policy_value", cap(""), id="cap-without-condition"),
        pytest.param("policy_value", cap("licences = []"), id="empty-list"),
        pytest.param("policy_value", cap('findings = ["unknown_kye"]'), id="no-such-code"),
        pytest.param("policy_value", cap('findings = ["tmplate_*"]'), id="no-such-codes"),
        pytest.param("policy_value", cap('severities = ["reject"]'), id="reject-is-no-question"),
        pytest.param("policy_value", cap('sources = ["hugging://a"]'), id="scheme"),
        pytest.param("policy_value", cap('sources_other_than = ["*"]'), id="one-star"),
        pytest.param("policy_value", grant('licences = ["MIT"]'), id="upper-case"),
        pytest.param("policy_value", grant("size_bytes_max = 0"), id="nothing-fits"),
        pytest.param("policy_value", HEAD + ANYTHING + ANYTHING, id="same-name"),
        pytest.param("policy_value", grant('[level.untrusted]\ntenants = ["A b"]'), id="tenant"),
        pytest.param("policy_value", grant("[level.verified]\ntier = 'vm'"), id="tiers"),
        pytest.param("policy_value", grant("[level.trusted]\ntier = 'docker'"), id="no-tier"),
    ],
)
def test_what_is_not_understood_is_refused(code: str, text: str) -> None:
    assert code_of(text.encode()) == code
    # Control: without the fault the same text is a policy.
    assert parse_policy((HEAD + ANYTHING).encode()).name == "p"


def test_bytes_that_are_no_text_are_refused() -> None:
    assert code_of(b"\xff") == "policy_syntax"


def test_the_shipped_policy_is_understood() -> None:
    found = parse_policy(default_policy_text())
    assert found.name == "corral-default"
    assert [g.level for g in found.grants] == ["untrusted", "verified"]
    assert all(allowed.tenants == ("*",) for allowed in found.levels.values())


def test_a_level_says_what_it_may_do() -> None:
    found = policy(
        ANYTHING + "[level.untrusted]\ntier = 'gvisor'\ntenants = ['lab']\nanswer_tokens_max = 64\n"
        "context_tokens_max = 1024\nparallel_max = 1\nmemory_bytes_max = 1_000_000_000\n"
    )
    allowed = found.levels["untrusted"]
    assert (allowed.tier, allowed.answer_tokens_max, allowed.parallel_max) == ("gvisor", 64, 1)
    assert allowed.admits_tenant("lab")
    assert not allowed.admits_tenant("default")
    assert found.levels["trusted"].admits_tenant("default")
