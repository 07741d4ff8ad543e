"""The gateway's audit log: one thread writes, many records in one write, one wait for the disk.

Trust: gateway [net]. Must never block the event loop, and never say that a record is on the disk
when it is not: whoever waits for one that cannot be written hears no, and refuses its request.
Input: records of our own code.

A thread takes whatever has gathered while it wrote the last batch (group commit): nobody waits for
company. It waits for the disk only if somebody waits for a record, and signs once in `_SEAL_S`
while there is something to sign; an idle log sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from corral.audit.appender import Appender, Rotation
from corral.audit.heads import read_head, write_head
from corral.audit.record import LINE_BYTES, Record, line_of
from corral.core.errors import CorralError
from corral.state.connection import open_writer
from corral.telemetry.log import get_logger

_log = get_logger(__name__)

_SEAL_S: Final = 1.0
_BATCH: Final = 512
_LINKS_BYTES: Final = 512
"""What the appender adds to a line."""
_KEPT: Final = 8192
"""Records without anybody who waits, kept while the disk refuses them."""
_RETRY_S: Final = 0.5
_RETIRE_S: Final = 3600.0
_WAIT_S: Final = 5.0
"""How long a request waits for its record, at most."""
_CLOSE_S: Final = 10.0


@dataclass(slots=True)
class _Item:
    record: Record
    waiter: asyncio.Future[bool] | None = None


class _Stop:
    """Ends the writer after everything before it."""


class AuditLog:
    """The one writer of the gateway's chain; used from one event loop."""

    def __init__(
        self, folder: Path, database: Path, key: Ed25519PrivateKey, rotation: Rotation
    ) -> None:
        self._folder = folder
        self._database = database
        self._key = key
        self._rotation = rotation
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Item | _Stop] = queue.SimpleQueue()
        self._appender: Appender | None = None
        self._connection: sqlite3.Connection | None = None
        self._kept: list[_Item] = []
        self._lost = 0
        self._counting = threading.Lock()
        self._retire_at_s = 0.0
        self._unsealed = False
        self._seal_at_s = 0.0
        self._healthy = True
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """False while records cannot be written."""
        return self._healthy and not self._closed and self._thread.is_alive()

    def note(self, record: Record) -> None:
        """Queue a record that nobody waits for; never blocks, never raises."""
        if self._queue.qsize() < _KEPT:
            self._queue.put(_Item(record))
        else:
            self._count_lost(1)

    def submit(self, record: Record) -> asyncio.Future[bool]:
        """Queue a record; the future says whether it is on the disk."""
        waiter = self._loop.create_future()
        # No reader takes a longer line: it would look like one that was changed.
        fits = not record.arguments or len(line_of(record)) < LINE_BYTES - _LINKS_BYTES
        if fits and self.healthy and self._queue.qsize() < _KEPT:
            self._queue.put(_Item(record, waiter))
        else:
            self._count_lost(1)
            waiter.set_result(False)
        return waiter

    async def durable(self, waiter: asyncio.Future[bool]) -> bool:
        """Wait until a submitted record is on the disk, and return whether it is."""
        try:
            return await asyncio.wait_for(asyncio.shield(waiter), _WAIT_S)
        except TimeoutError:
            return False

    def close(self) -> None:
        """Write what is queued, say that the end was in good order, and stop."""
        if not self._closed:
            self._closed = True
            self._queue.put(_Stop())
            self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            items, stopping = self._gather()
            if items or not self._healthy:
                self._write(items)
            if stopping:
                self._write([_Item(_bare("stop"))])
            if self._unsealed and (stopping or time.monotonic() >= self._seal_at_s):
                self._seal()
        if self._appender is not None:
            self._appender.close()
        if self._connection is not None:
            self._connection.close()

    def _gather(self) -> tuple[list[_Item], bool]:
        items: list[_Item] = []
        try:
            item = self._queue.get(timeout=self._patience_s())
            while True:
                if isinstance(item, _Stop):
                    return items, True
                items.append(item)
                if len(items) >= _BATCH:
                    break
                item = self._queue.get_nowait()
        except queue.Empty:
            pass
        return items, False

    def _patience_s(self) -> float | None:
        if not self._healthy:
            return _RETRY_S
        return max(0.0, self._seal_at_s - time.monotonic()) if self._unsealed else None

    def _write(self, items: list[_Item]) -> None:
        kept = [*self._kept, *items]
        records = [item.record for item in kept]
        lost, written = self._lost, False
        if lost or not self._healthy:
            records.append(_bare("more", code="not_written", count=lost))
        try:
            self._chain().write(records, durable=any(item.waiter for item in kept))
            written = True
        except (OSError, CorralError) as error:
            self._failed(error)
            # Who waited is refused, so its record would be of something that never was.
            left = [item for item in kept if not item.waiter]
            self._kept = left[:_KEPT]
            self._count_lost(len(kept) - len(self._kept))
        else:
            self._kept, self._healthy = [], True
            self._count_lost(-lost)
            if not self._unsealed:
                self._unsealed, self._seal_at_s = True, time.monotonic() + _SEAL_S
        waiters = [item.waiter for item in items if item.waiter]
        if waiters:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                self._loop.call_soon_threadsafe(_answer, waiters, written)

    def _seal(self) -> None:
        try:
            appender = self._chain()
            appender.write([], durable=True, seal=True)
        except (OSError, CorralError) as error:
            self._failed(error)
            self._seal_at_s = time.monotonic() + _SEAL_S
            return
        self._unsealed = False
        try:
            if self._connection is None:
                self._connection = open_writer(self._database, fsync=False)
            write_head(self._connection, "gateway", appender.seal)
            if time.monotonic() >= self._retire_at_s:
                self._retire_at_s = time.monotonic() + _RETIRE_S
                appender.retire()
        except (sqlite3.Error, OSError, CorralError) as error:
            # The chain itself is whole; the next seal brings the database up to date.
            _log.warning("audit_head_not_written", reason=type(error).__name__)

    def _chain(self) -> Appender:
        if self._appender is None:
            head = read_head(self._database, "gateway")
            self._appender = Appender(self._folder, "gateway", self._key, self._rotation, head)
        return self._appender

    def _count_lost(self, records: int) -> None:
        with self._counting:
            self._lost += records

    def _failed(self, error: Exception) -> None:
        if self._healthy:
            _log.error("audit_write_failed", reason=type(error).__name__)
        self._healthy = False


def _bare(kind: Literal["more", "stop"], *, code: str = "", count: int = 0) -> Record:
    return Record(chain="gateway", seq=0, prev="", at_ms=0, kind=kind, code=code, count=count)


def _answer(waiters: list[asyncio.Future[bool]], written: bool) -> None:  # noqa: FBT001
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(written)
