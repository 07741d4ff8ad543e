"""Look at the database in one snapshot, or change it in one transaction, without a toolkit.

Trust: gateway [net] and operator side; standard library only, so that the command line and the
gateway's admin API share one code. Input: trusted path; every value reaches SQL as a bound
parameter.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from corral.state.connection import open_reader, open_writer, unavailable


@contextmanager
def snapshot(database: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that sees one state of the database and waits for nobody.

    Rows are `sqlite3.Row`.

    Raises:
        CorralError: codes `database_unsafe`, `database_unavailable`.
    """
    try:
        with closing(open_reader(database)) as connection:
            connection.row_factory = sqlite3.Row
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
        CorralError: codes `database_unsafe`, `database_unavailable`.
        sqlite3.IntegrityError: a constraint refused the change; the caller says what that means.
    """
    try:
        with closing(open_writer(database)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN IMMEDIATE")
            yield connection  # an exception closes it, which rolls back
            connection.execute("COMMIT")
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        raise unavailable() from error
