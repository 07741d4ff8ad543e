"""Who is held, for how long, and what becomes of it when the database does not play along."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from corral.state.database import writing
from corral.tenancy.quarantine import list_quarantines, release_quarantine
from corral.tenancy.ward import Ward

DIGEST = "a" * 64


def hold(ward: Ward, tenant: str = "acme", seconds: float = 60) -> None:
    ward.hold(tenant, DIGEST, model="m", crashes=5, seconds=seconds)


def eventually(check: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_pair_is_held_at_once_and_others_are_not(
    database: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.time()
    monkeypatch.setattr("time.time", lambda: now_s)
    ward = Ward(database)
    assert ward.left_s("acme", DIGEST) == 0
    hold(ward)
    assert 58 < ward.left_s("acme", DIGEST) <= 61
    assert ward.left_s("other", DIGEST) == 0
    assert ward.left_s("acme", "b" * 64) == 0
    ward.close()
    (held,) = list_quarantines(engine)
    assert (held.tenant, held.model, held.digest, held.crashes) == ("acme", "m", DIGEST, 5)
    assert 59 <= (held.until - held.since).total_seconds() <= 60
    again = Ward(database)
    assert again.left_s("acme", DIGEST) > 50
    again.close()


def test_a_release_acts_at_the_next_question(database: Path, engine: Engine) -> None:
    ward = Ward(database)
    hold(ward)
    assert eventually(lambda: bool(list_quarantines(engine)))
    release_quarantine(engine, "acme", DIGEST)
    assert eventually(lambda: ward.left_s("acme", DIGEST) == 0)
    ward.close()


def test_a_pair_that_is_lifted_is_forgotten(database: Path, engine: Engine) -> None:
    ward = Ward(database)
    hold(ward)
    ward.lift("acme", DIGEST)
    ward.close()
    assert list_quarantines(engine) == ()
    assert Ward(database).left_s("acme", DIGEST) == 0


def test_what_is_over_is_not_shown_and_goes_with_the_next(database: Path, engine: Engine) -> None:
    ward = Ward(database)
    hold(ward, seconds=1)
    assert eventually(lambda: ward.left_s("acme", DIGEST) == 0)
    assert list_quarantines(engine) == ()
    hold(ward, "other")
    ward.close()
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT tenant FROM quarantines").all()
    assert rows == [("other",)]


def test_what_cannot_be_written_is_held_in_memory(database: Path, engine: Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP TABLE quarantines")
    ward = Ward(database)
    hold(ward)
    ward.close()
    assert ward.left_s("acme", DIGEST) > 50


def test_without_a_database_it_is_held_in_memory() -> None:
    ward = Ward()
    hold(ward)
    assert ward.left_s("acme", DIGEST) > 50
    ward.lift("acme", DIGEST)
    assert ward.left_s("acme", DIGEST) == 0
    ward.close()
