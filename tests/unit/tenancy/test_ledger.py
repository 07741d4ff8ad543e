"""Usage rows: none lost silently, no waiting."""

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from corral.core.ids import TenantName
from corral.state.connection import open_writer
from corral.tenancy.keys import create_key, list_keys
from corral.tenancy.ledger import Ledger, UsageRecord
from corral.tenancy.usage import sum_usage
from tests.support.running_clock import running_clock


def _record(key_id: int = 1, status: str = "ok", **changes: int) -> UsageRecord:
    counts = {"prompt_tokens": 3, "completion_tokens": 5, "cached_tokens": 1, "duration_ms": 9}
    return UsageRecord(
        tenant=TenantName("acme"), key_id=key_id, model="m", status=status, **(counts | changes)
    )


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_every_row_is_there_after_close(database: Path) -> None:
    ledger = Ledger(database)

    def settle() -> None:
        for _ in range(500):
            ledger.settle(_record())

    threads = [threading.Thread(target=settle) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.settle(_record(status="cancelled"))
    ledger.close()
    ledger.close()
    (total,) = sum_usage(database)
    assert (total.requests, total.failed) == (2001, 1)
    assert (total.prompt_tokens, total.completion_tokens, total.cached_tokens) == (
        6003,
        10005,
        2001,
    )
    assert ledger.dropped == 0


def test_a_key_s_last_use_is_noted(database: Path, pepper: bytes) -> None:
    for name in ("settled", "touched", "unused"):
        create_key(database, pepper, tenant="acme", name=name)
    ledger = Ledger(database)
    ledger.settle(_record(key_id=1))
    ledger.touch(2)
    ledger.close()
    assert [key.last_used_at is not None for key in list_keys(database)] == [True, True, False]


def test_a_locked_database_delays_rows_and_never_the_caller(database: Path) -> None:
    blocker = open_writer(database)
    blocker.execute("BEGIN IMMEDIATE")
    ledger = Ledger(database)
    with running_clock() as clock:
        for _ in range(1000):
            ledger.settle(_record())
        assert clock.now_s < 1
    blocker.execute("ROLLBACK")
    blocker.close()
    ledger.close()
    assert sum_usage(database)[0].requests == 1000


@pytest.mark.claim("LIM-03")
def test_a_full_queue_is_counted_logged_and_unhealthy(
    engine: Engine, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocker = open_writer(database)
    blocker.execute("BEGIN IMMEDIATE")
    ledger = Ledger(database, queue_rows=4)
    for _ in range(600):
        ledger.settle(_record())
    assert ledger.dropped > 0
    assert not ledger.healthy
    assert "usage_dropped" in capsys.readouterr().err
    blocker.execute("ROLLBACK")
    blocker.close()
    _until(lambda: ledger.healthy)
    ledger.close()
    assert sum_usage(database)[0].requests + ledger.dropped == 600


def test_a_database_that_is_gone_is_unhealthy_until_it_is_back(
    engine: Engine, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away = database.with_name("away.db")
    database.rename(away)
    ledger = Ledger(database)
    ledger.settle(_record())
    _until(lambda: not ledger.healthy)
    assert "usage_write_failed" in capsys.readouterr().err
    away.rename(database)
    _until(lambda: ledger.healthy)
    ledger.close()
    assert (sum_usage(database)[0].requests, ledger.dropped) == (1, 0)


def test_close_gives_up_in_time_and_says_what_was_lost(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "none.db")
    ledger.settle(_record())
    with running_clock() as clock:
        ledger.close(timeout_s=0.1)
        assert clock.now_s < 3
    _until(lambda: ledger.dropped == 1)
    ledger.settle(_record())
    assert ledger.dropped == 2
    assert not ledger.healthy


def test_close_does_not_wait_for_a_full_queue(
    engine: Engine, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, commit = threading.Event(), Ledger._commit

    def noted(self: Ledger, *rows: Any) -> None:
        writes.set()
        commit(self, *rows)

    monkeypatch.setattr(Ledger, "_commit", noted)
    blocker = open_writer(database)
    blocker.execute("BEGIN IMMEDIATE")
    ledger = Ledger(database, queue_rows=4)
    ledger.settle(_record())
    assert writes.wait(30)  # the writer has taken it and waits for the lock
    for _ in range(4):
        ledger.settle(_record())
    ledger.touch(1)
    ledger.close(timeout_s=0.1)
    assert ledger.dropped == 4
    assert not ledger.healthy
    blocker.execute("ROLLBACK")
    blocker.close()


def test_one_bad_row_does_not_take_others_with_it(database: Path) -> None:
    ledger = Ledger(database)
    ledger.settle(_record())
    ledger.settle(_record(status=None))  # type: ignore[arg-type]
    ledger.settle(_record())
    ledger.close()
    assert (sum_usage(database)[0].requests, ledger.dropped) == (2, 1)


def test_absurd_counts_are_bounded(database: Path) -> None:
    ledger = Ledger(database)
    ledger.settle(_record(prompt_tokens=1 << 70, completion_tokens=-5))
    ledger.close()
    (total,) = sum_usage(database)
    assert (total.prompt_tokens, total.completion_tokens) == ((1 << 63) - 1, 0)


def test_rows_share_commits(engine: Engine, database: Path) -> None:
    watch = sqlite3.connect(database)
    before = watch.execute("PRAGMA data_version").fetchone()[0]
    ledger = Ledger(database)
    for _ in range(300):
        ledger.settle(_record())
    ledger.close()
    assert watch.execute("PRAGMA data_version").fetchone()[0] - before <= 5
    watch.close()
