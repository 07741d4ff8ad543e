"""The gateway's writer: durable when it says so, and never a yes when the disk says no."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from corral.audit.appender import Rotation
from corral.audit.heads import read_head
from corral.audit.log import AuditLog
from corral.audit.pace import RefusalPace
from corral.audit.record import parse_line
from corral.state.database import open_database
from tests.support.audit_chain import BEGIN, END, Written, event

Body = Callable[[AuditLog], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path, signer: Ed25519PrivateKey) -> Callable[[Body], Written]:
    """Run a body with a log; return what is on the disk afterwards."""
    database = tmp_path / "corral.db"
    open_database(database).dispose()

    def call(body: Body) -> Written:
        async def main() -> None:
            log = AuditLog(tmp_path, database, signer, Rotation())
            try:
                await body(log)
            finally:
                log.close()

        asyncio.run(main())
        return Written(tmp_path, signer, read_head(database, "gateway"))

    return call


def _ids(written: Written) -> list[str]:
    return [record.id for line in written.lines() if (record := parse_line(line)) and record.id]


@pytest.mark.claim("AUD-04")
def test_what_is_said_to_be_on_the_disk_is_there(run: Callable[[Body], Written]) -> None:
    async def body(log: AuditLog) -> None:
        assert all(await asyncio.gather(*(log.durable(log.submit(BEGIN)) for _ in range(200))))
        log.note(END)

    written = run(body)
    assert len(_ids(written)) == 201
    report = written.verify()
    assert (report.faults, report.gaps) == ([], [])
    assert report.sealed == report.last == written.head.seq
    # Many share one wait for the disk: far fewer seals and segments than records.
    assert len(written.lines()) < 210


@pytest.mark.claim("AUD-04")
def test_a_disk_that_refuses_is_a_no_and_what_was_lost_is_counted(
    run: Callable[[Body], Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fdatasync
    full = threading.Event()

    def sync(fd: int) -> None:
        if full.is_set():
            raise OSError(28, "no space")
        real(fd)

    monkeypatch.setattr(os, "fdatasync", sync)

    async def body(log: AuditLog) -> None:
        assert await log.durable(log.submit(event(id="before")))
        full.set()
        assert not await log.durable(log.submit(event(id="refused")))
        assert not log.healthy
        assert not await log.durable(log.submit(event(id="refused too")))
        log.note(event("end", id="kept"))
        full.clear()
        async with asyncio.timeout(30):
            while not log.healthy:  # noqa: ASYNC110 - as a probe of /readyz would
                await asyncio.sleep(0.02)
        assert await log.durable(log.submit(event(id="after")))

    written = run(body)
    assert written.kinds() == set()
    assert _ids(written) == ["before", "kept", "after"]
    lost = [r for line in written.lines() if (r := parse_line(line)) and r.kind == "more"]
    assert sum(record.count for record in lost) == 2
    assert {record.code for record in lost} == {"not_written"}


def test_another_start_goes_on_with_the_chain(run: Callable[[Body], Written]) -> None:
    async def body(log: AuditLog) -> None:
        assert await log.durable(log.submit(BEGIN))

    first = run(body)
    second = run(body)
    assert second.head.seq > first.head.seq
    report = second.verify(first.head)
    assert (report.faults, report.gaps) == ([], [])
    assert len(second.files()) == 2


@pytest.mark.claim("AUD-05")
def test_strangers_cannot_fill_the_disk() -> None:
    pace = RefusalPace()
    written = sum(pace.admits("", now_s=n / 1000) for n in range(100_000))  # 1000 a second
    assert 60 <= written <= 60 + 101
    assert pace.admits("acme", 100.0), "a tenant's own pace is not the strangers'"
    assert pace.uncounted("") == 100_000 - written
    assert pace.uncounted("") == 0
    many = sum(pace.admits(f"t{n}", 100.0) for n in range(10_000))
    assert many < 5000, "names do not buy records without end"
