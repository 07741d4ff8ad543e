from __future__ import annotations

import pytest

from corral.core.home import Home
from tests.support.command_line import Corral


def test_limits_are_set_shown_and_cleared(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    tenant = ("--tenant", "default")
    said = corral("quota", "set", *tenant, "tokens_per_minute=1000", "weight=2", *place)
    assert said.code == 0
    assert "whole context" in said.err  # more than 1000: the operator is told
    shown = corral("quota", "show", *tenant, *place, "--json").document
    ours = {one["limit"]: one["value"] for one in shown if one["from"] == "set"}
    assert ours == {"tokens_per_minute": 1000, "weight": 2}
    assert "[limits]" in corral("quota", "show", *place).out
    model = (*tenant, "--model", "smol", "context_tokens=256")
    assert corral("quota", "set", *model, *place, "--json").document["model"] == "smol"
    user = (*tenant, "--key", "oidc-0123456789abc")
    said = corral("quota", "set", *user, "tokens_per_day=5", *place, "--json").document
    assert (said["tenant"], said["key"], said["model"]) == ("default", user[-1], None)
    assert user[-1] in corral("quota", "show", *place).out
    shown = corral("quota", "show", *tenant, *place, "--json").document
    assert [one["value"] for one in shown if one["key"] == user[-1]] == [5]
    assert corral("quota", "clear", *user, *place, "--json").document["cleared"] == 1
    cleared = corral("quota", "clear", *tenant, "weight", *place, "--json").document
    assert cleared["cleared"] == 1
    assert "cleared: 1" in corral("quota", "clear", *tenant, *place).err


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--tenant", "default", "weight"), "quota_value"), (("weight=2",), "quota_scope"),
     (("--tenant", "default", "speed=2"), "no_such_quota")],
    ids=["value", "scope", "name"],
)  # fmt: skip
def test_wrong_limits_are_refused(
    corral: Corral, home: Home, words: tuple[str, ...], code: str
) -> None:
    done = corral("quota", "set", *words, "--home", str(home.root), "--json")
    assert (done.code, done.error_code) == (1, code)
