"""Authenticate in memory; changes act at the next call."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from corral.core.errors import CorralError
from corral.state.database import open_database, writing
from corral.state.tables import keys
from corral.tenancy.grants import grant_model, revoke_grant
from corral.tenancy.keyring import Keyring
from corral.tenancy.keys import create_key, revoke_key, rotate_key
from corral.tenancy.permissions import Permission, Role
from corral.tenancy.tenants import add_tenant, freeze_tenant, remove_tenant
from corral.tenancy.token import new_token


@pytest.fixture
def keyring(database: Path, engine: Engine, pepper: bytes) -> Iterator[Keyring]:
    keyring = Keyring(database, pepper)
    yield keyring
    keyring.close()


@pytest.fixture
def token(database: Path, pepper: bytes) -> str:
    return create_key(database, pepper, tenant="acme", name="n")[0]


def test_a_good_key_gives_its_principal(database: Path, keyring: Keyring, token: str) -> None:
    grant_model(database, "acme", "m")
    principal = keyring.authenticate(token)
    assert principal is not None
    assert (principal.tenant, principal.role, principal.models) == ("acme", "user", {"m"})
    assert token.startswith(f"sk-corral-{principal.key_prefix}-")


@pytest.mark.claim("KEY-02")
def test_wrong_tokens_are_denied(keyring: Keyring, token: str) -> None:
    other = new_token()[0]
    same_prefix = token[:19] + other[19:]
    flipped = token[:-1] + ("0" if token[-1] != "0" else "1")
    for wrong in ("", "Bearer x", other, same_prefix, flipped, token + "0", token.upper()):
        assert keyring.authenticate(wrong) is None
    assert keyring.authenticate(token) is not None


@pytest.mark.claim("KEY-02")
def test_another_pepper_denies(database: Path, token: str) -> None:
    keyring = Keyring(database, bytes(32))
    assert keyring.authenticate(token) is None
    keyring.close()


def test_a_short_pepper_is_refused(database: Path) -> None:
    with pytest.raises(CorralError) as refused:
        Keyring(database, b"")
    assert refused.value.code == "bad_pepper"


def test_create_and_revoke_act_at_the_next_call(
    database: Path, keyring: Keyring, pepper: bytes
) -> None:
    assert keyring.authenticate(new_token()[0]) is None  # loaded now
    token, record = create_key(database, pepper, tenant="acme", name="n")
    assert keyring.authenticate(token) is not None
    revoke_key(database, record.id)
    assert keyring.authenticate(token) is None


@pytest.mark.claim("KEY-03")
def test_a_revoke_by_another_process_acts_at_once(
    database: Path, keyring: Keyring, token: str
) -> None:
    assert keyring.authenticate(token) is not None
    code = (
        "import sys; from pathlib import Path; from corral.state.database import open_database;"
        "from corral.tenancy.keys import revoke_key;"
        "revoke_key(Path(sys.argv[1]), 1)"
    )
    subprocess.run([sys.executable, "-c", code, str(database)], check=True)
    assert keyring.authenticate(token) is None


@pytest.mark.claim("KEY-05")
def test_freeze_and_grants_act_at_once(database: Path, keyring: Keyring, token: str) -> None:
    freeze_tenant(database, "acme")
    assert keyring.authenticate(token) is None
    freeze_tenant(database, "acme", frozen=False)
    grant_model(database, "acme", "*")
    principal = keyring.authenticate(token)
    assert principal is not None
    assert principal.may_use("m")
    revoke_grant(database, "acme", "*")
    principal = keyring.authenticate(token)
    assert principal is not None
    assert not principal.may_use("m")


@pytest.mark.claim("KEY-04")
def test_expiry_needs_no_reload(
    database: Path, keyring: Keyring, pepper: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    token, _ = create_key(database, pepper, tenant="acme", name="n", expires_at=expires_at)
    assert keyring.authenticate(token) is not None
    monkeypatch.setattr("time.time", expires_at.timestamp)
    assert keyring.authenticate(token) is None


@pytest.mark.claim("KEY-06")
def test_no_check_no_entry_and_recovery(
    database: Path, keyring: Keyring, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keyring.authenticate(token) is not None
    away = database.with_name("away")
    database.rename(away)
    assert keyring.authenticate(token) is None
    assert keyring.authenticate(token) is None
    assert capsys.readouterr().err.count("keyring_unavailable") == 1
    away.rename(database)
    assert keyring.authenticate(token) is not None


@pytest.mark.claim("KEY-06")
def test_a_row_that_makes_no_sense_denies_everybody(
    engine: Engine, keyring: Keyring, token: str
) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        connection.execute(update(keys).values(role="owner"))
    assert keyring.authenticate(token) is None
    with writing(engine) as connection:
        connection.execute(update(keys).values(role="user"))
    assert keyring.authenticate(token) is not None


def test_nothing_there_is_no(tmp_path: Path, pepper: bytes) -> None:
    keyring = Keyring(tmp_path / "none.db", pepper)
    assert keyring.authenticate(new_token()[0]) is None
    keyring.close()


def test_a_database_of_another_installation_is_no(
    tmp_path: Path, keyring: Keyring, token: str, pepper: bytes
) -> None:
    open_database(tmp_path / "other.db")
    other = Keyring(tmp_path / "other.db", pepper)
    assert other.authenticate(token) is None
    other.close()


@pytest.mark.claim("KEY-10")
def test_the_old_secret_lives_for_the_overlap_and_no_longer(
    database: Path, keyring: Keyring, pepper: bytes, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, record = rotate_key(database, pepper, token, overlap_s=60)
    assert record.old_until is not None
    old_principal, principal = keyring.authenticate(token), keyring.authenticate(new)
    assert principal is not None
    assert old_principal is not None
    assert (old_principal.key_id, principal.key_id, principal.expires_at) == (1, 1, None)
    assert old_principal.expires_at == record.old_until.timestamp()
    with monkeypatch.context() as later:
        later.setattr("time.time", record.old_until.timestamp)
        assert keyring.authenticate(token) is None
        assert keyring.authenticate(new) is not None
    third, _ = rotate_key(database, pepper, record.id)
    assert [keyring.authenticate(one) is None for one in (token, new, third)] == [True, True, False]


@pytest.mark.claim("KEY-10")
def test_a_revoke_kills_both_secrets(
    database: Path, keyring: Keyring, pepper: bytes, token: str
) -> None:
    new, record = rotate_key(database, pepper, token, overlap_s=60)
    assert keyring.authenticate(token) is not None
    revoke_key(database, record.id)
    assert keyring.authenticate(token) is None
    assert keyring.authenticate(new) is None


@pytest.mark.claim("PERM-09")
@pytest.mark.parametrize(
    ("role", "left"),
    [
        ("user", "completion:create completion:read model:list usage:read"),
        ("tenant-admin", "completion:create completion:read model:list usage:read key:list "
         "grant:list quota:show sanitation:read"),
        ("auditor", "usage:read usage:read-all key:list tenant:list tenant:show grant:list "
         "quota:show audit:read metrics:read"),
        ("operator", "completion:create completion:read model:list usage:read usage:read-all "
         "key:list tenant:list tenant:show grant:list quota:show audit:read host:read "
         "metrics:read sanitation:read"),
    ],
)  # fmt: skip
def test_what_an_old_secret_may_in_its_overlap(
    database: Path, keyring: Keyring, pepper: bytes, role: Role, left: str
) -> None:
    token, record = create_key(database, pepper, tenant="acme", name="n", role=role)
    new, _ = rotate_key(database, pepper, record.id, overlap_s=60)
    old_principal, principal = keyring.authenticate(token), keyring.authenticate(new)
    assert old_principal is not None
    assert principal is not None
    assert {str(one) for one in Permission if old_principal.may(one)} == set(left.split())
    if role != "auditor":  # the control
        assert principal.may(Permission.COMPLETION_DELETE)


def test_an_overlap_ends_with_the_key(database: Path, keyring: Keyring, pepper: bytes) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    token, record = create_key(database, pepper, tenant="acme", name="n", expires_at=soon)
    rotate_key(database, pepper, record.id, overlap_s=3600)
    principal = keyring.authenticate(token)
    assert principal is not None
    assert principal.expires_at == int(soon.timestamp())


@pytest.mark.claim("KEY-09")
def test_a_key_has_its_scopes_and_models_and_no_more(
    database: Path, keyring: Keyring, pepper: bytes, token: str
) -> None:
    for model in ("m", "other"):
        grant_model(database, "acme", model)
    narrow, record = create_key(
        database, pepper, tenant="acme", name="n", scopes=["model:list"], models=["m", "foreign"]
    )
    assert (record.scopes, record.models) == (("model:list",), ("foreign", "m"))
    principal = keyring.authenticate(narrow)
    assert principal is not None
    assert [one for one in Permission if principal.may(one)] == [Permission.MODEL_LIST]
    assert [principal.may_use(one) for one in ("m", "other", "foreign")] == [True, False, False]
    wide = keyring.authenticate(token)  # the control: the same tenant's other key
    assert wide is not None
    assert wide.may(Permission.COMPLETION_CREATE)
    assert wide.may_use("other")


@pytest.mark.claim("KEY-09")
def test_scopes_that_somebody_wrote_into_the_database_widen_nothing(
    database: Path, engine: Engine, keyring: Keyring, pepper: bytes
) -> None:
    token, _ = create_key(database, pepper, tenant="acme", name="n", scopes=["model:list"])
    with writing(engine) as connection:
        connection.execute(update(keys).values(scopes="model:list tenant:wipe nonsense *"))
    principal = keyring.authenticate(token)
    assert principal is not None
    assert [one for one in Permission if principal.may(one)] == [Permission.MODEL_LIST]


def test_grants_and_the_barred(keyring: Keyring, database: Path) -> None:
    add_tenant(database, "gone")
    add_tenant(database, "cold")
    grant_model(database, "acme", "m")
    assert (keyring.grants_of("acme"), keyring.grants_of("gone")) == ({"m"}, frozenset())
    remove_tenant(database, "gone")
    freeze_tenant(database, "cold")
    assert keyring.barred() == {"gone", "cold"}
    assert [keyring.grants_of(one) for one in ("gone", "cold", "nobody")] == [None, None, None]
    database.rename(database.with_name("away"))
    assert (keyring.grants_of("acme"), keyring.barred()) == (None, frozenset())
