"""Create, list and revoke keys."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from corral.core.errors import CorralError
from corral.tenancy.keys import create_key, list_keys, revoke_key, rotate_key
from corral.tenancy.tenants import add_tenant


@pytest.mark.claim("KEY-01")
def test_a_key_is_listed_without_its_secret(pepper: bytes, database: Path) -> None:
    token, record = create_key(database, pepper, tenant="acme", name="ci")
    assert list_keys(database) == (record,)
    assert (record.tenant, record.name, record.role) == ("acme", "ci", "user")
    assert record.status() == "active"
    secret = token.rsplit("-", 1)[1].encode()
    for path in database.parent.iterdir():
        assert secret not in path.read_bytes()
        assert bytes.fromhex(secret.decode()) not in path.read_bytes()
    assert secret.decode() not in repr(record)


def test_keys_are_listed_by_tenant(database: Path, pepper: bytes) -> None:
    add_tenant(database, "other")
    _, mine = create_key(database, pepper, tenant="acme", name="a")
    _, theirs = create_key(database, pepper, tenant="other", name="b", role="operator")
    assert list_keys(database, tenant="acme") == (mine,)
    assert list_keys(database, tenant="other") == (theirs,)


@pytest.mark.claim("KEY-09")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tenant": "nobody"}, "no_such_tenant"),
        ({"tenant": "../etc"}, "bad_tenant_name"),
        ({"name": ""}, "bad_key_name"),
        ({"name": "x" * 65}, "bad_key_name"),
        ({"name": "a\x1b[2J"}, "bad_key_name"),
        ({"role": "root"}, "bad_role"),
        ({"role": "admin"}, "bad_role"),
        ({"scopes": ["tenant:wipe"]}, "bad_scope"),
        ({"scopes": ["nonsense"]}, "bad_scope"),
        ({"role": "auditor", "scopes": ["completion:create"]}, "bad_scope"),
        ({"models": ["../m"]}, "bad_model_name"),
        ({"models": ["*"]}, "bad_model_name"),
        ({"expires_at": datetime.now(UTC) - timedelta(seconds=1)}, "bad_expiry"),
        ({"expires_at": datetime(2099, 1, 1)}, "bad_expiry"),  # noqa: DTZ001 - that is the case
    ],
)
def test_refusals(database: Path, pepper: bytes, change: dict[str, Any], code: str) -> None:
    with pytest.raises(CorralError) as refused:
        create_key(database, pepper, **({"tenant": "acme", "name": "n"} | change))
    assert refused.value.code == code
    assert list_keys(database) == ()


def test_a_short_pepper_makes_no_key(database: Path) -> None:
    with pytest.raises(CorralError) as refused:
        create_key(database, b"", tenant="acme", name="n")
    assert refused.value.code == "bad_pepper"


@pytest.mark.parametrize("form", ["id", "prefix", "short", "token"])
def test_a_key_is_revoked_by_any_of_its_names(database: Path, pepper: bytes, form: str) -> None:
    token, record = create_key(database, pepper, tenant="acme", name="n")
    _, other = create_key(database, pepper, tenant="acme", name="other")
    name: dict[str, str | int] = {
        "id": record.id,
        "prefix": record.prefix,
        "short": f"sk-corral-{record.prefix}",
        "token": token,
    }
    revoked = revoke_key(database, name[form])
    assert revoked.id == record.id
    assert revoked.status() == "revoked"
    assert revoke_key(database, name[form]) == revoked
    assert [key.status() for key in list_keys(database) if key.id == other.id] == ["active"]


@pytest.mark.parametrize("name", ["", "999", "zzzzzzzz", "*", "9" * 40])
def test_an_unknown_key_is_refused(database: Path, pepper: bytes, name: str) -> None:
    create_key(database, pepper, tenant="acme", name="n")
    with pytest.raises(CorralError) as refused:
        revoke_key(database, name)
    assert refused.value.code == "no_such_key"


def test_expiry_is_a_status(database: Path, pepper: bytes) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    _, record = create_key(database, pepper, tenant="acme", name="n", expires_at=soon)
    assert record.status(soon - timedelta(seconds=2)) == "active"
    assert record.status(soon) == "expired"


def test_a_rotated_key_keeps_everything_but_its_secret(database: Path, pepper: bytes) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    token, record = create_key(
        database, pepper, tenant="acme", name="n", role="tenant-admin", expires_at=soon,
        scopes=["key:list"], models=["m"],
    )  # fmt: skip
    new, rotated = rotate_key(database, pepper, record.id)
    assert rotated == record
    assert new != token
    assert new.startswith(f"sk-corral-{record.prefix}-")


def test_what_cannot_be_rotated(database: Path, pepper: bytes) -> None:
    _, record = create_key(database, pepper, tenant="acme", name="n")
    for key, overlap_s, code in (
        (99, 0, "no_such_key"), (record.id, -1, "bad_overlap"), (record.id, 1 << 40, "bad_overlap")
    ):  # fmt: skip
        with pytest.raises(CorralError) as refused:
            rotate_key(database, pepper, key, overlap_s=overlap_s)
        assert refused.value.code == code
    revoke_key(database, record.id)
    with pytest.raises(CorralError) as refused:
        rotate_key(database, pepper, record.id)
    assert refused.value.code == "key_not_active"
