"""The worked examples of docs/policy.md are policies, and do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from corral.admission.policy.decide import decide
from corral.admission.policy.document import Cap, Grant, Policy, parse_policy
from corral.admission.policy.verdict import Allowance
from corral.admission.report import Finding
from corral.admission.signing.signer import Signer
from tests.support.policies import subject

PAGE = Path(__file__).parents[4] / "docs" / "policy.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
EXAMPLES: dict[str, Policy] = {p.name: p for p in (parse_policy(b.encode()) for b in BLOCKS)}
CHOSEN = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def signed(name: str) -> tuple[Signer, ...]:
    return (
        Signer(
            name=name, kind="key", fingerprint="sha256:" + "1" * 64, signed_name="m",
            bundle_sha256="2" * 64,
        ),
    )  # fmt: skip


FLAG = (Finding("causal_attn", "flag", "m"),)
HIDDEN = (Finding("string_hidden", "flag", "m"),)
RELEASE = {
    "source": "oci://registry.corp.example/models/m:1", "licence": "mit",
    "signers": signed("release-team"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "facts", "level"),
    [
        pytest.param("lab", {}, "untrusted", id="lab-anything"),
        pytest.param("lab", {"evidence": {"sha256"}}, "verified", id="lab-pinned"),
        pytest.param("lab", {"signers": signed("lab")}, "trusted", id="lab-ours"),
        pytest.param(
            "lab", {"signers": signed("lab"), "findings": FLAG}, "untrusted", id="lab-doubtful"
        ),
        pytest.param("lab", {"signers": signed("lab"), "findings": HIDDEN}, None, id="lab-hidden"),
        pytest.param("school", {}, None, id="school-unknown-licence"),
        pytest.param("school", {"licence": "mit"}, "untrusted", id="school-trial"),
        pytest.param(
            "school", {"digest": CHOSEN, "evidence": {"sha256"}, "template": "known"}, "verified",
            id="school-chosen",
        ),
        pytest.param(
            "school", {"digest": CHOSEN, "evidence": {"sha256"}, "template": "passed"},
            "untrusted", id="school-template",
        ),
        pytest.param("company", RELEASE, "trusted", id="company-release"),
        pytest.param("company", RELEASE | {"licence": ""}, None, id="company-no-licence"),
        pytest.param("company", RELEASE | {"signers": signed("x")}, None, id="company-signer"),
        pytest.param("company", RELEASE | {"findings": FLAG}, None, id="company-doubtful"),
    ],
)  # fmt: skip
def test_an_example_does_what_the_page_says(
    name: str, facts: dict[str, object], level: str | None
) -> None:
    trust, decision = decide(EXAMPLES[name], subject(**facts), now_s=0)
    assert (trust if decision.outcome == "admit" else None) == level


@pytest.mark.parametrize("kind", [Grant, Cap, Allowance])
def test_the_page_names_every_word_of_the_language(kind: type[msgspec.Struct]) -> None:
    for word in kind.__struct_fields__:
        assert re.search(rf"`{word}`|^{word} = ", TEXT, re.MULTILINE), word
