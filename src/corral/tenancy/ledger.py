"""Write usage rows from one thread, many in a commit, without ever blocking the event loop.

Trust: gateway [net]. Must never lose a row silently: what cannot be kept is counted, logged and
turns `healthy` off, upon which the gateway refuses new requests.
Input: records made by the gateway; token counts come from a worker and are bounded here.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.state.connection import open_writer
from corral.telemetry.log import get_logger
from corral.tenancy.holder import CERTIFICATES

_log = get_logger(__name__)

_QUEUE_ROWS: Final = 8192
"""About 2 MB, and more than an hour of the default rate limit of one tenant."""
_GROUP_ROWS: Final = 512
_GROUP_S: Final = 0.05
"""A row waits this long for others to share its commit."""
_RETRY_S: Final = (0.05, 0.2, 0.5, 1.0)
_CLOSE_S: Final = 10.0
_LAST_USED_COARSE_S: Final = 60
_INTEGER_MAX: Final = (1 << 63) - 1

_INSERT: Final = (
    "INSERT INTO usage (tenant, key_id, model, prompt_tokens, completion_tokens, cached_tokens,"
    " status, duration_ms, engine_ms, ts_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_USED: Final = "UPDATE keys SET last_used_at = ? WHERE id = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """What one request used.

    Attributes:
        status: `ok`, `cancelled` or an error's code.
        engine_ms: from the moment at which a worker had the request to its end.
        ts_ms: Unix time of its end.
    """

    tenant: TenantName
    key_id: int
    model: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    status: str
    duration_ms: int
    engine_ms: int = 0
    ts_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)


@dataclass(frozen=True, slots=True)
class _Used:
    key_id: int
    ts_s: int


class _Stop:
    """Ends the writer after everything before it."""


class Ledger:
    """The one writer of usage rows. Its methods may be called from any thread."""

    def __init__(self, database: Path, *, queue_rows: int = _QUEUE_ROWS) -> None:
        self._database = database
        self._queue: queue.Queue[UsageRecord | _Used | _Stop] = queue.Queue(queue_rows)
        self._queue_rows = queue_rows
        self._connection: sqlite3.Connection | None = None
        self._last_used: dict[int, int] = {}
        self._lock = threading.Lock()
        self._dropped = 0
        self._healthy = True
        self._closed = False
        self._close_deadline_s = float("inf")
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """False while rows cannot be written or kept: accept no new requests then."""
        return self._healthy and self._thread.is_alive()

    @property
    def dropped(self) -> int:
        """Rows lost since the start."""
        return self._dropped

    def settle(self, record: UsageRecord) -> None:
        """Queue one row, and note that its key was used; never blocks, never raises."""
        if self._closed:
            self._drop(1)
            return
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self._drop(1)

    def touch(self, key_id: int) -> None:
        """Note that a key was used by a request without usage; may be forgotten under load."""
        known = key_id < CERTIFICATES
        if known and not self._closed and self._queue.qsize() < self._queue_rows // 2:
            try:
                self._queue.put_nowait(_Used(key_id, int(time.time())))
            except queue.Full:
                return

    def close(self, *, timeout_s: float = _CLOSE_S) -> None:
        """Write what is queued and stop; rows that cannot be written in time are counted lost."""
        if self._closed:
            return
        self._closed = True
        self._close_deadline_s = time.monotonic() + timeout_s
        try:
            self._queue.put(_Stop(), timeout=timeout_s)
        except queue.Full:
            self._drop(self._queue.qsize())
            return
        self._thread.join(timeout_s + 1)

    def _drop(self, rows: int) -> None:
        with self._lock:
            first = self._healthy
            self._dropped += rows
            self._healthy = False
        if first:
            _log.error("usage_dropped", count=self._dropped)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            rows, used, stopping = self._gather()
            self._write(rows, used)
        if self._connection is not None:
            self._connection.close()
        if self._dropped:
            _log.error("usage_dropped", count=self._dropped)

    def _gather(self) -> tuple[list[UsageRecord], dict[int, int], bool]:
        rows: list[UsageRecord] = []
        used: dict[int, int] = {}
        item = self._queue.get()
        deadline_s = time.monotonic() + _GROUP_S
        while True:
            if isinstance(item, _Stop):
                return rows, used, True
            if isinstance(item, UsageRecord):
                rows.append(item)
                if item.key_id < CERTIFICATES:  # what is not of `keys` has no "last used" there
                    used[item.key_id] = item.ts_ms // 1000
            else:
                used[item.key_id] = item.ts_s
            left_s = deadline_s - time.monotonic()
            if len(rows) >= _GROUP_ROWS or left_s <= 0:
                return rows, used, False
            try:
                item = self._queue.get(timeout=left_s)
            except queue.Empty:
                return rows, used, False

    def _write(self, rows: Sequence[UsageRecord], used: dict[int, int]) -> None:
        fresh = {
            key_id: ts_s
            for key_id, ts_s in used.items()
            if ts_s - self._last_used.get(key_id, 0) >= _LAST_USED_COARSE_S
        }
        if not rows and not fresh:
            return
        attempt = 0
        while True:
            try:
                self._commit(rows, fresh)
            except (sqlite3.IntegrityError, sqlite3.ProgrammingError, OverflowError) as error:
                self._refused(rows, error)
                return
            except (sqlite3.Error, CorralError) as error:
                self._failed(attempt, error)
                if time.monotonic() >= self._close_deadline_s:
                    self._drop(len(rows))
                    return
                time.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1
            else:
                self._last_used.update(fresh)
                if self._queue.qsize() <= self._queue_rows // 2:
                    self._healthy = True
                return

    def _refused(self, rows: Sequence[UsageRecord], error: Exception) -> None:
        # The database refuses a row itself, so that to try again is of no use: find it.
        if len(rows) <= 1:
            _log.error("usage_row_refused", reason=type(error).__name__)
            self._drop(len(rows))
            return
        for row in rows:
            self._write([row], {})

    def _failed(self, attempt: int, error: Exception) -> None:
        self._healthy = False
        if attempt == 0:
            _log.error("usage_write_failed", reason=type(error).__name__)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _commit(self, rows: Sequence[UsageRecord], used: dict[int, int]) -> None:
        if self._connection is None:
            self._connection = open_writer(self._database, fsync=False)
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(_INSERT, [_bounded(row) for row in rows])
            connection.executemany(_USED, [(ts_s, key_id) for key_id, ts_s in used.items()])
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _bounded(row: UsageRecord) -> tuple[object, ...]:
    return tuple(
        min(max(value, 0), _INTEGER_MAX) if isinstance(value, int) else value
        for value in astuple(row)
    )
