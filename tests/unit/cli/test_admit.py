"""`corral admit` as a person and a script use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from corral.admission.policy.shipped import default_policy_text
from corral.core.home import Home
from tests.support.admitted_row import make_receipt, put_receipt
from tests.support.command_line import Corral
from tests.support.policies import ANYTHING, HEAD

SIGNED = HEAD + ANYTHING.replace("why", 'signers = ["lab"]\nwhy')


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(SIGNED)
    return path


def test_a_policy_is_tried_then_put_in_force(corral: Corral, home: Home, policy_file: Path) -> None:
    put_receipt(home, make_receipt())
    place = ("--home", str(home.root))
    tried = corral("admit", "--policy", str(policy_file), "--dry-run", *place)
    assert tried.code == 3
    assert "held" in tried.out
    assert "nothing was changed" in tried.err
    assert corral("list", "--json", *place).document[0]["held"] is False
    done = corral("admit", "--all", "--policy", str(policy_file), "--json", *place)
    assert done.code == 3
    (one,) = done.document["models"]
    assert (one["before"], one["after"]) == ("untrusted", "held")
    assert one["decision"]["reasons"][-1] == "grant any (untrusted) wants a signature by lab."
    assert done.document["installed"] is True
    assert corral("list", "--json", *place).document[0]["held"] is True
    assert "held back: nobody may use it" in corral("show", "m", *place).out
    assert corral("run", "m", "hi", "--json", *place).error_code == "model_held"
    assert corral("admit", "--print-policy", *place).out == SIGNED
    back = corral("admit", "m", "--policy", "default", "--json", *place)
    assert (back.code, back.document["installed"]) == (0, False)
    assert corral("admit", "--policy", "default", *place).code == 0
    assert corral("admit", "--print-policy", *place).out.encode() == default_policy_text()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param((), 2, id="nothing"),
        pytest.param(("m", "--all"), 2, id="one-and-all"),
        pytest.param(("--policy", "none.toml", "--json"), 1, id="no-file"),
        pytest.param(("none", "--json"), 1, id="no-model"),
    ],
)
def test_what_is_refused(corral: Corral, home: Home, arguments: tuple[str, ...], code: int) -> None:
    ended = corral("admit", *arguments, "--home", str(home.root))
    assert ended.code == code
    if code == 1:
        assert ended.error_code in {"policy_unreadable", "no_such_model"}
