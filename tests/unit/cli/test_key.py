from __future__ import annotations

from datetime import timedelta

import pytest

from corral.cli.key import parse_span
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.tenancy.keyring import Keyring
from tests.support.command_line import Corral


def test_a_key_lives_from_create_to_revoke(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    made = corral("key", "create", "default", "--name", "ci", "--expires", "90d", *place, "--json")
    token = made.document["key"]
    keyring = Keyring(home.database, home.pepper.read_bytes())
    assert keyring.authenticate(token) is not None

    listed = corral("key", "list", "--tenant", "default", *place, "--json")
    assert token not in listed.out
    mine = next(k for k in listed.document if k["name"] == "ci")
    assert mine["status"] == "active"
    assert mine["expires_at"] is not None

    assert (
        corral("key", "revoke", str(mine["id"]), *place, "--json").document["status"] == "revoked"
    )
    assert keyring.authenticate(token) is None
    assert "revoked" in corral("key", "list", *place).out


def test_refusals(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root), "--json")
    assert corral("key", "create", "nobody", *place).error_code == "no_such_tenant"
    assert corral("key", "revoke", "zzzzzzzz", *place).error_code == "no_such_key"
    assert (
        corral("key", "create", "default", "--expires", "soon", *place).error_code == "bad_expiry"
    )


def test_the_tenant_may_be_an_option_too(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root), "--json")
    assert corral("key", "create", *place).document["tenant"] == "default"
    assert corral("key", "create", "--tenant", "admin", *place).document["tenant"] == "admin"
    assert corral("key", "create", "default", "--tenant", "admin", *place).code == 2


def test_an_operators_key(corral: Corral, home: Home) -> None:
    made = corral(
        "key", "create", "admin", "--role", "operator", "--home", str(home.root), "--json"
    )
    assert made.document["role"] == "operator"


def test_the_token_alone_is_on_stdout(corral: Corral, home: Home) -> None:
    made = corral("key", "create", "default", "--home", str(home.root))
    assert made.out.startswith("sk-corral-")
    assert len(made.out.split()) == 1


def test_spans() -> None:
    assert parse_span("30m") == timedelta(minutes=30)
    assert parse_span("4w") == timedelta(weeks=4)
    for wrong in ("", "0d", "-1d", "1y", "999999d", "1d "):
        with pytest.raises(CorralError) as refused:
            parse_span(wrong)
        assert refused.value.code == "bad_expiry"


def test_a_narrow_key_is_rotated(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root), "--json")
    made = corral(
        "key", "create", "default", "--scope", "completion:create", "--model", "demo", *place
    ).document
    assert (made["scopes"], made["models"]) == (["completion:create"], ["demo"])
    rotated = corral("key", "rotate", made["prefix"], "--overlap", "60", *place).document
    assert rotated["key"] != made["key"]
    assert rotated["old_secret_until"] is not None
    assert {**rotated, "key": "", "old_secret_until": None} == {**made, "key": ""}
    for arguments, code in (
        (("create", "default", "--scope", "tenant:wipe"), "bad_scope"),
        (("create", "default", "--role", "admin"), "bad_role"),
        (("rotate", made["prefix"], "--overlap", "-1"), "bad_overlap"),
    ):
        assert corral("key", *arguments, *place).error_code == code
