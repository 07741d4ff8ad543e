"""Pairs of tenant and model that crash again and again: kept away from the engine for a while.

Trust: gateway [net]. Input: names that the pipeline has checked; rows written by corral.

What is held is in memory, read again when the database's revision changes, so that an operator's
release acts at the next request and a restarted gateway still knows. A row is written by a thread,
because a write may wait for another process's; until then, or if it cannot be written at all, the
pair is held in memory.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.state.change import ChangeWatch
from corral.state.connection import open_reader, open_writer
from corral.telemetry.log import get_logger

_log: Final = get_logger("tenancy.ward")

_READ: Final = "SELECT tenant, digest, until FROM quarantines"
_EXPIRED: Final = "DELETE FROM quarantines WHERE until <= ?"
_LIFT: Final = "DELETE FROM quarantines WHERE tenant = ? AND digest = ?"
_HOLD: Final = """
INSERT INTO quarantines (tenant, digest, model, crashes, since, until) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, digest) DO UPDATE SET
model = excluded.model, crashes = excluded.crashes, since = excluded.since, until = excluded.until
"""

_Key = tuple[str, str]


class Ward:
    """Every pair that is held now. For one thread, and the writer that it starts itself.

    Args:
        database: where pairs are kept; None keeps them in memory only.
    """

    def __init__(self, database: Path | None = None) -> None:
        self._database = database
        self._watch = ChangeWatch(database) if database else None
        self._lock = threading.Lock()
        self._stored: dict[_Key, int] = {}
        self._unwritten: dict[_Key, int] = {}
        self._stale = True
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="ward")

    def left_s(self, tenant: str, digest: str) -> float:
        """Return for how many seconds more a pair is held; 0 if it is not."""
        self._refresh()
        key = (tenant, digest)
        with self._lock:
            until = max(self._stored.get(key, 0), self._unwritten.get(key, 0))
        return max(0.0, until - time.time())

    def hold(self, tenant: str, digest: str, *, model: str, crashes: int, seconds: float) -> None:
        """Hold a pair from now on, and write that down soon."""
        now = int(time.time())
        until = now + max(1, int(seconds))
        with self._lock:
            self._unwritten[tenant, digest] = until
        row = (tenant, digest, model, crashes, now, until)
        self._submit((_EXPIRED, (now,)), (_HOLD, row), written=(tenant, digest))

    def lift(self, tenant: str, digest: str) -> None:
        """Let a pair go: what it was held for was no crash."""
        with self._lock:
            self._unwritten.pop((tenant, digest), None)
            self._stored.pop((tenant, digest), None)
        self._submit((_LIFT, (tenant, digest)))

    def close(self) -> None:
        """Write what is to be written and close the database."""
        self._writer.shutdown()
        if self._watch is not None:
            self._watch.close()

    def _submit(self, *steps: tuple[str, tuple[object, ...]], written: _Key | None = None) -> None:
        if self._database is not None:
            self._writer.submit(self._write, self._database, steps, written)

    def _write(
        self, database: Path, steps: tuple[tuple[str, tuple[object, ...]], ...], key: _Key | None
    ) -> None:
        try:
            with closing(open_writer(database)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                for statement, values in steps:
                    connection.execute(statement, values)
                connection.execute("COMMIT")
        except (sqlite3.Error, CorralError) as error:
            _log.error("quarantine_write_failed", reason=type(error).__name__)
            return
        with self._lock:
            # Read again whatever the watch says: it may have seen this change before we got here.
            self._stale = True
            if key is not None and key in self._unwritten:
                self._stored[key] = self._unwritten.pop(key)

    def _refresh(self) -> None:
        if self._watch is None or self._database is None:
            return
        try:
            if not self._watch.changed() and not self._stale:
                return
            with self._lock:
                self._stale = True  # until it has been read: a change is reported once
                with closing(open_reader(self._database)) as connection:
                    self._stored = {(t, d): until for t, d, until in connection.execute(_READ)}
                self._stale = False
        except (sqlite3.Error, OSError, CorralError) as error:
            # The keyring lets nobody in from a database that cannot be read; what we know stays.
            _log.error("quarantine_read_failed", reason=type(error).__name__)
