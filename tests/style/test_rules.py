"""The catalogue of rules has every code that a report can carry, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from corral.admission.rules import rules
from corral.advisories.database import shipped_records
from tests.style.minted_codes import Minted, minted_codes

ROOT = Path(__file__).parents[2]
PLACES = ("admission/scan/", "admission/template/", "admission/known_bad.py")
"""Sources whose findings come into a report."""
ERRORS = {"CorralError", "Denied"}
"""What ends the verb that scans; everything else that these sources make becomes a finding."""


def finding_codes(minted: Minted) -> set[str]:
    return {
        code
        for code, places in minted.places.items()
        if any(place.startswith(PLACES) for place in places) and minted.kinds[code] - ERRORS
    }


@pytest.fixture(scope="module")
def codes() -> set[str]:
    return finding_codes(minted_codes(ROOT / "src" / "corral"))


def test_every_code_has_a_rule_and_every_rule_a_code(codes: set[str]) -> None:
    assert codes - set(rules()) == set(), "not in rules.toml"
    assert set(rules()) - codes == set(), "nothing makes these"
    assert {"magic", "lora_scale", "template_ssti", "advisory_known_bad", "format_zip"} <= codes


def test_a_rule_names_each_advisory_that_it_answers() -> None:
    wanted = {
        (construct, record.id)
        for record in shipped_records()
        for construct in record.corral.constructs
    }
    named = {(rule.id, text) for rule in rules().values() for text in rule.references}
    assert len(wanted) > 40
    assert wanted - named == set()


def test_errors_of_the_scan_are_no_rules() -> None:
    minted = Minted(
        {"a": {"admission/scan/x.py"}, "b": {"admission/scan/x.py"}, "c": {"gateway/x.py"}},
        {"a": {"CorralError"}, "b": {"CorralError", "new_carrier"}, "c": {"Finding"}},
    )
    assert finding_codes(minted) == {"b"}
