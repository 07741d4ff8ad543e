"""What each scope has used of its tokens, kept on the disk ahead of what it was admitted.

Trust: gateway [net]. Must never let a request go on whose tokens a crash would forget.
Input: accounts of this process; rows of an earlier one. Writes wait for the disk (`fsync`) in a
thread of their own, many accounts in one commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.state.connection import open_reader, open_writer
from corral.telemetry.log import get_logger
from corral.tenancy.account import Account, Moment, Spent
from corral.tenancy.quota import Scope

_log: Final = get_logger("tenancy.spent")

_READ: Final = (
    "SELECT tenant, key_id, model, level, ts_ms, day, day_used, month, month_used FROM spent"
)
_WRITE: Final = """
INSERT INTO spent (tenant, key_id, model, level, ts_ms, day, day_used, month, month_used)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, key_id, model) DO UPDATE SET
level = excluded.level, ts_ms = excluded.ts_ms, day = excluded.day, day_used = excluded.day_used,
month = excluded.month, month_used = excluded.month_used
"""

Row = tuple[Scope, Spent]


class SpentJournal:
    """Reads the rows once, and writes them ahead. For one event loop.

    Args:
        database: where rows are kept; None keeps them in memory only.
        clock: tells the moment.
    """

    def __init__(self, database: Path | None, clock: Callable[[], Moment]) -> None:
        self._database = database
        self._clock = clock
        self._found: dict[Scope, Spent] | None = None if database else {}
        self._pending: dict[Scope, Account] = {}
        self._next: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spent")

    def found(self, scope: Scope) -> Spent:
        """Return what an earlier process has written of a scope.

        Raises:
            sqlite3.Error, CorralError: it cannot be read.
        """
        if self._found is None and self._database is not None:
            with closing(open_reader(self._database)) as connection:
                self._found = {
                    Scope(tenant, key_id, model): Spent(*rest)
                    for tenant, key_id, model, *rest in connection.execute(_READ)
                }
        return (self._found or {}).get(scope, Spent())

    async def cover(self, accounts: Iterable[Account]) -> None:
        """Return once the disk says at least what was admitted to these accounts.

        Raises:
            sqlite3.Error, CorralError: it could not be written.
        """
        now = self._clock()
        open_ = [one for one in accounts if not one.covered(now)]
        if not open_ or self._database is None:
            return
        for account in open_:
            self._pending[account.scope] = account
        if self._next is None:
            self._next = asyncio.create_task(self._commit(self._database))
        await asyncio.shield(self._next)

    def close(self, accounts: Sequence[Account]) -> None:
        """Write what was used, and nothing more; wait for it."""
        self._thread.shutdown()
        if self._database is None or not accounts:
            return
        now = self._clock()
        try:
            _store(self._database, [(one.scope, one.spent(now, ahead=False)) for one in accounts])
        except (sqlite3.Error, CorralError) as error:
            # The rows that are there say more than was used: the next start is too strict.
            _log.error("spent_write_failed", reason=type(error).__name__)

    async def _commit(self, database: Path) -> None:
        async with self._turn:
            accounts, self._pending, self._next = list(self._pending.values()), {}, None
            now = self._clock()
            rows = [(one, one.spent(now, ahead=True)) for one in accounts]
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(
                self._thread, _store, database, [(one.scope, spent) for one, spent in rows]
            )
            for account, spent in rows:
                account.written(spent, now)
                if self._found is not None:  # a limit that is cleared and set forgets nothing
                    self._found[account.scope] = spent


def _store(database: Path, rows: Sequence[Row]) -> None:
    with closing(open_writer(database)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            _WRITE,
            [
                (*scope, s.level, s.ts_ms, s.day, s.day_used, s.month, s.month_used)
                for scope, s in rows
            ],
        )
        connection.execute("COMMIT")
