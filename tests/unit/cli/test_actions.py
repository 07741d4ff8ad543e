"""What of a command is kept in the operator's audit log, and what never is."""

from __future__ import annotations

import pytest

from corral.cli.actions import spoken
from corral.core.home import Home
from tests.support.command_line import Corral


@pytest.mark.claim("AUD-08")
def test_of_a_whole_key_only_the_public_part_is_kept(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root), "--json")
    made = corral("key", "create", "default", "--name", "k", *place).document
    token = made["key"]
    corral("key", "rotate", token, "--overlap", "60", *place)
    corral("key", "revoke", f" {token} ", *place)
    corral("quota", "set", "--key", token, "requests_per_minute=5", *place)
    secret = token.rsplit("-", 1)[1]
    log = b"".join(path.read_bytes() for path in (home.root / "audit").iterdir())
    assert secret.encode() not in log
    assert made["prefix"].encode() in log, "the control: the commands are in it"
    assert spoken({"key": token}) == {"key": f"sk-corral-{made['prefix']}"}


@pytest.mark.parametrize(("said", "kept"), [
    ("plain-word", "plain-word"), ("two words", "?"), ("tokens_per_day=7", "tokens_per_day=7"),
    ("x=secret", "?"), ("X=7", "?"),
])  # fmt: skip
def test_only_plain_words_are_kept(said: str, kept: str) -> None:
    assert spoken({"name": said, "prompt": said, "home": "/x"}) == {"name": kept}


@pytest.mark.claim("ADM-15")
def test_where_a_model_is_brought_from_is_not_kept(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root), "--json")
    secret = "https://user:hunter2@host.example/model.gguf"
    for command in (
        ("pull", secret, "--name", "plain-word"),
        ("derive", "plain-word", "--as", "other-word", "--adapter", secret),
    ):
        assert corral(*command, *place).error_code
    log = b"".join(path.read_bytes() for path in (home.root / "audit").iterdir())
    assert b"hunter2" not in log
    assert b"plain-word" in log, "the control: the commands are in it"
    assert b"other-word" in log
