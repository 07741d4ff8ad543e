"""Shares between tenants: what gives the right to use a model, and whatever takes it away."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.tenancy.grants import grant_model, revoke_grant
from corral.tenancy.keyring import Keyring
from corral.tenancy.keys import create_key
from corral.tenancy.shares import (
    OPEN_SHARES,
    Share,
    accept_share,
    end_share,
    list_shares,
    offer_share,
)
from corral.tenancy.tenants import add_tenant, freeze_tenant

ACME, BOLT, CHEM = (TenantName(name) for name in ("acme", "bolt", "chem"))
MODEL, DIGEST = "llama", "a" * 64
_ADMIT = (
    "INSERT INTO models"
    " (name, digest, identity, size_bytes, trust, source, admitted_at, receipt, signature)"
    " VALUES (?1, ?2, ?2, 1, 'verified', 's', 0, '{}', x'00')"
)


@pytest.fixture(autouse=True)
def writer(database: Path) -> Iterator[sqlite3.Connection]:
    """Three tenants, one admitted model that the first was granted."""
    add_tenant(database, BOLT)
    add_tenant(database, CHEM)
    grant_model(database, ACME, MODEL)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(_ADMIT, (MODEL, DIGEST))
        yield connection


@pytest.fixture
def allowed(database: Path, pepper: bytes) -> Iterator[Callable[[str], bool]]:
    """Ask the keyring, as each request does, whether a tenant's key may use the model."""
    keyring = Keyring(database, pepper)
    tokens: dict[str, str] = {}

    def ask(tenant: str) -> bool:
        if tenant not in tokens:
            tokens[tenant] = create_key(database, pepper, tenant=tenant, name="k")[0]
        principal = keyring.authenticate(tokens[tenant])
        return principal is not None and principal.may_use(MODEL)

    yield ask
    keyring.close()


@pytest.fixture
def accepted(database: Path) -> Share:
    share = offer_share(database, owner=ACME, receiver=BOLT, model=MODEL)
    return accept_share(database, share.id, receiver=BOLT, digest=share.digest)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(CorralError) as refused:
        call()
    return refused.value.code


@pytest.mark.claim("SHARE-01")
def test_an_offer_gives_no_right_before_it_is_accepted(
    database: Path, allowed: Callable[[str], bool]
) -> None:
    share = offer_share(database, owner=ACME, receiver=BOLT, model=MODEL)
    assert (share.status, allowed(BOLT)) == ("offered", False)
    accepted = accept_share(database, share.id, receiver=BOLT, digest=DIGEST)
    assert (accepted.status, allowed(BOLT), allowed(CHEM)) == ("accepted", True, False)
    assert accept_share(database, share.id, receiver=BOLT, digest=DIGEST) == accepted


@pytest.mark.claim("SHARE-02")
@pytest.mark.parametrize("who", [ACME, BOLT])
def test_each_of_the_two_ends_it_at_once(
    database: Path, accepted: Share, allowed: Callable[[str], bool], who: TenantName
) -> None:
    assert allowed(BOLT)
    assert end_share(database, accepted.id, tenant=who).status == "ended"
    assert not allowed(BOLT)
    assert allowed(ACME)
    assert list_shares(database) == ()
    assert refusal(lambda: end_share(database, accepted.id, tenant=who)) == "share_not_found"


@pytest.mark.claim("SHARE-02")
def test_it_ends_with_the_right_of_the_owner(
    database: Path, accepted: Share, allowed: Callable[[str], bool]
) -> None:
    assert allowed(BOLT)
    freeze_tenant(database, ACME)
    assert not allowed(BOLT)
    freeze_tenant(database, ACME, frozen=False)
    assert allowed(BOLT)
    revoke_grant(database, ACME, MODEL)
    assert not allowed(BOLT)
    grant_model(database, ACME, "*")
    assert allowed(BOLT)


@pytest.mark.claim("SHARE-03")
def test_another_artifact_under_the_same_name_was_not_accepted(
    database: Path, writer: sqlite3.Connection, accepted: Share, allowed: Callable[[str], bool]
) -> None:
    assert allowed(BOLT)
    writer.execute("UPDATE models SET identity = ?, receipt = '[]'", ("b" * 64,))
    assert (allowed(ACME), allowed(BOLT)) == (True, False)
    again = offer_share(database, owner=ACME, receiver=BOLT, model=MODEL)
    assert again.id != accepted.id
    code = refusal(lambda: accept_share(database, again.id, receiver=BOLT, digest=DIGEST))
    assert (code, allowed(BOLT)) == ("share_changed", False)
    accept_share(database, again.id, receiver=BOLT, digest="b" * 64)
    assert allowed(BOLT)


@pytest.mark.claim("DRV-04")
def test_a_derived_model_of_the_same_file_was_not_accepted(
    database: Path, writer: sqlite3.Connection, accepted: Share, allowed: Callable[[str], bool]
) -> None:
    assert allowed(BOLT)
    # The name stands for a model derived from the very file that was accepted.
    writer.execute("UPDATE models SET identity = ? WHERE name = ?", ("d" * 64, MODEL))
    assert (allowed(ACME), allowed(BOLT)) == (True, False)
    assert offer_share(database, owner=ACME, receiver=BOLT, model=MODEL).digest == "d" * 64
    writer.execute("UPDATE models SET identity = digest WHERE name = ?", (MODEL,))
    assert allowed(BOLT)  # control: what was accepted is what holds


@pytest.mark.claim("SHARE-03")
def test_a_model_that_changes_between_the_look_and_the_answer_is_not_accepted(
    database: Path, writer: sqlite3.Connection
) -> None:
    share = offer_share(database, owner=ACME, receiver=BOLT, model=MODEL)
    writer.execute("UPDATE models SET identity = ?, receipt = '[]'", ("b" * 64,))
    for digest in (DIGEST, "b" * 64):
        code = refusal(
            lambda digest=digest: accept_share(database, share.id, receiver=BOLT, digest=digest)
        )
        assert code == "share_changed"


@pytest.mark.claim("SHARE-04")
def test_what_was_received_cannot_be_shared_on(
    database: Path, accepted: Share, allowed: Callable[[str], bool]
) -> None:
    assert allowed(BOLT)
    offer = lambda: offer_share(database, owner=BOLT, receiver=CHEM, model=MODEL)  # noqa: E731
    assert refusal(offer) == "model_not_found"


@pytest.mark.claim("SHARE-05")
@pytest.mark.parametrize("who", [ACME, CHEM])
def test_nobody_accepts_for_another(
    database: Path, allowed: Callable[[str], bool], who: TenantName
) -> None:
    share = offer_share(database, owner=ACME, receiver=BOLT, model=MODEL)
    foreign = refusal(lambda: accept_share(database, share.id, receiver=who, digest=DIGEST))
    missing = refusal(lambda: accept_share(database, 999, receiver=who, digest=DIGEST))
    assert foreign == missing == "share_not_found"
    assert not allowed(BOLT)
    assert not allowed(CHEM)


@pytest.mark.claim("SHARE-05")
def test_nobody_ends_what_is_others(
    database: Path, accepted: Share, allowed: Callable[[str], bool]
) -> None:
    assert refusal(lambda: end_share(database, accepted.id, tenant=CHEM)) == "share_not_found"
    assert allowed(BOLT)


@pytest.mark.claim("SHARE-06")
def test_offers_tell_nobody_which_tenants_there_are(database: Path) -> None:
    real = offer_share(database, owner=ACME, receiver=BOLT, model=MODEL)
    unreal = offer_share(database, owner=ACME, receiver="nobody", model=MODEL)
    assert (real.status, unreal.status) == ("offered", "offered")
    assert list_shares(database, tenant=ACME) == (real, unreal)


@pytest.mark.parametrize(
    ("receiver", "model", "code"),
    [
        (BOLT, "other", "model_not_found"),
        (BOLT, "../x", "model_not_found"),
        (BOLT, "*", "model_not_found"),
        (ACME, MODEL, "share_with_oneself"),
        ("No Body", MODEL, "bad_tenant_name"),
    ],
)
def test_offers_that_are_none(database: Path, receiver: str, model: str, code: str) -> None:
    call = lambda: offer_share(database, owner=ACME, receiver=receiver, model=model)  # noqa: E731
    assert refusal(call) == code
    assert list_shares(database) == ()


def test_a_model_that_is_granted_and_not_admitted_cannot_be_shared(
    engine: Engine, database: Path
) -> None:
    grant_model(database, ACME, "*")
    call = lambda: offer_share(database, owner=ACME, receiver=BOLT, model="later")  # noqa: E731
    assert refusal(call) == "model_not_found"


def test_the_same_offer_again_is_the_one_that_is_open(database: Path) -> None:
    first = offer_share(database, owner=ACME, receiver=BOLT, model=MODEL)
    assert offer_share(database, owner=ACME, receiver=BOLT, model=MODEL) == first
    end_share(database, first.id, tenant=BOLT)
    assert offer_share(database, owner=ACME, receiver=BOLT, model=MODEL).id > first.id


def test_a_tenant_has_so_many_open_shares(database: Path, writer: sqlite3.Connection) -> None:
    writer.executemany(
        "INSERT INTO shares (owner, receiver, model, digest, offered_at) VALUES (?, ?, ?, ?, 0)",
        [(ACME, f"t{n}", MODEL, DIGEST) for n in range(OPEN_SHARES)],
    )
    offer = lambda to: offer_share(database, owner=ACME, receiver=to, model=MODEL)  # noqa: E731
    assert refusal(lambda: offer(BOLT)) == "too_many_shares"
    end_share(database, offer("t0").id, tenant=ACME)
    assert offer(BOLT).status == "offered"


def test_ended_shares_are_not_kept_without_end(database: Path, writer: sqlite3.Connection) -> None:
    for _ in range(3):
        end_share(
            database, offer_share(database, owner=ACME, receiver=BOLT, model=MODEL).id, tenant=ACME
        )
    writer.executemany(
        "INSERT INTO shares (owner, receiver, model, digest, offered_at, ended_at)"
        " VALUES (?, ?, ?, ?, 0, 1)",
        [(owner, CHEM, MODEL, DIGEST) for owner in (ACME, BOLT) for _ in range(OPEN_SHARES + 9)],
    )
    offer_share(database, owner=ACME, receiver=BOLT, model=MODEL)
    count = "SELECT owner, count(*) FROM shares GROUP BY owner ORDER BY owner"
    assert writer.execute(count).fetchall() == [(ACME, OPEN_SHARES + 1), (BOLT, OPEN_SHARES + 9)]


def test_shares_are_listed_by_side(database: Path, accepted: Share) -> None:
    assert list_shares(database, tenant=BOLT, side="receiver") == (accepted,)
    assert list_shares(database, tenant=BOLT, side="owner") == ()
    assert list_shares(database, tenant=ACME, side="owner") == (accepted,)
    assert list_shares(database, tenant=CHEM) == ()


def test_a_database_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "none.db").write_bytes(b"none" * 1024)
    assert refusal(lambda: list_shares(tmp_path / "none.db")) == "database_unavailable"
