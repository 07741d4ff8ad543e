"""`corral explain` as a person uses it."""

from __future__ import annotations

import pytest

from corral.admission.rules import rules
from tests.support.command_line import Corral


def test_one_rule(corral: Corral) -> None:
    shown = corral("explain", "nbytes_overflow")
    assert shown.code == 0
    assert "exabyte" in shown.out
    assert "CVE-2026-33298" in shown.out
    assert corral("explain", "NBYTES-overflow").out == shown.out


def test_one_rule_as_json(corral: Corral) -> None:
    document = corral("explain", "format_pickle", "--json").document
    assert set(document) == {"id", "area", "severity", "title", "why", "mend", "references"}
    assert document["references"] == [
        {
            "text": "CWE-502 (deserialisation)",
            "url": "https://cwe.mitre.org/data/definitions/502.html",
        }
    ]


def test_all_rules(corral: Corral) -> None:
    shown = corral("explain").out
    assert all(name in shown for name in rules())
    assert [one["id"] for one in corral("explain", "--json").document] == list(rules())


def test_unknown_rule(corral: Corral) -> None:
    missed = corral("explain", "nbyte_overflow", "--json")
    assert missed.code == 1
    assert missed.document["error"]["code"] == "no_such_rule"
    assert "nbytes_overflow" in missed.document["error"]["remedy"]


@pytest.mark.parametrize("name", ["zzzzzzzz", "", "\x1b[31m", "../rules"])
def test_a_name_like_none_gets_no_guesses(corral: Corral, name: str) -> None:
    missed = corral("explain", name)
    assert missed.code == 1
    assert "did you mean" not in missed.err
    assert "\x1b[31m" not in missed.err + missed.out
