"""Look at the database in one snapshot, or change it in one transaction, without a toolkit.

Trust: gateway [net] and operator side; standard library only, so that the command line and the
gateway's admin API share one code. Input: trusted path; every value reaches SQL as a bound
parameter.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from corral.state.connection import open_reader, open_writer, unavailable

STILL_MAY: Final[ContextVar[Callable[[], None] | None]] = ContextVar("still_may", default=None)
"""Asked by each transaction of this context once it has the write lock, and raises if whoever asked
for the change may not make it any more: a revoke cannot come in between. Threads that are started
by `asyncio.to_thread` have it, too."""
LONGEST_S: Final[ContextVar[float]] = ContextVar("longest_s", default=math.inf)
"""How long a snapshot of this context may take."""
_STEPS: Final = 20_000
"""Instructions of SQLite's machine between two looks at the clock: a few milliseconds."""


@contextmanager
def snapshot(database: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that sees one state of the database and waits for nobody.

    Rows are `sqlite3.Row`. A query that runs longer than `LONGEST_S` is cut off, as
    `database_unavailable`.

    Raises:
        CorralError: codes `database_unsafe`, `database_unavailable`.
    """
    try:
        with closing(open_reader(database)) as connection:
            connection.row_factory = sqlite3.Row
            until_s = time.monotonic() + LONGEST_S.get()
            connection.set_progress_handler(lambda: time.monotonic() > until_s, _STEPS)
            connection.execute("BEGIN")
            yield connection
    except sqlite3.Error as error:
        raise unavailable() from error


@contextmanager
def transaction(database: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that may change the database; commits at the end, or changes nothing.

    The write lock is taken at once, so that what reads and then writes cannot fail halfway. Rows
    are `sqlite3.Row`.

    Raises:
        CorralError: codes `database_unsafe`, `database_unavailable`, and what `STILL_MAY` raises.
        sqlite3.IntegrityError: a constraint refused the change; the caller says what that means.
    """
    try:
        with closing(open_writer(database)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN IMMEDIATE")
            if (still_may := STILL_MAY.get()) is not None:
                still_may()
            yield connection  # an exception closes it, which rolls back
            connection.execute("COMMIT")
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        raise unavailable() from error
