"""Open the SQLite file the one way corral does: WAL, foreign keys, bounded waiting.

Trust: gateway [net] and operator side; standard library only, so that the gateway's hot path needs
no database toolkit. Must never follow a link: the gateway can write the folder, the operator
(often root) opens files in it.
Input: the path is trusted; the file's content was written by corral, of any of its processes.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any, Final

from corral.core.errors import CorralError

BUSY_TIMEOUT_S: Final = 10.0
"""Longest wait for another process's write; each of ours takes milliseconds."""
_RETRY_S: Final = 0.02


def open_writer(path: Path, *, create: bool = False, fsync: bool = True) -> sqlite3.Connection:
    """Return a connection in driver autocommit: transactions are begun by explicit SQL.

    Args:
        path: database file.
        create: make the file if it is missing; otherwise a missing file is an error.
        fsync: wait for the disk at each commit; without it a power cut may lose the last commits
            (never the database's integrity).

    Raises:
        CorralError: codes `database_unsafe` (a link or not a plain file), `database_unavailable`.
    """
    if create:
        _create(path)
    connection = _open(path)
    try:
        _switch_to_wal(connection)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA synchronous = {'FULL' if fsync else 'NORMAL'}")
        connection.execute("PRAGMA trusted_schema = OFF")
    except sqlite3.Error as error:
        connection.close()
        raise unavailable() from error
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot change the database.

    It opens the file writable all the same (a reader of a WAL database must be able to make the
    shared-memory index) and then forbids every write by `query_only`.

    Raises:
        CorralError: codes `database_unsafe`, `database_unavailable`.
    """
    connection = _open(path)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA schema_version")  # reads the file: garbage is refused here
    except sqlite3.Error as error:
        connection.close()
        raise unavailable() from error
    return connection


def read_rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return what one fixed query finds, on a connection of its own.

    Raises:
        CorralError: codes `database_unsafe`, `database_unavailable`.
    """
    connection = open_reader(path)
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.Error as error:
        raise unavailable() from error
    finally:
        connection.close()


def _open(path: Path) -> sqlite3.Connection:
    _refuse_links(path)
    try:
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise unavailable() from error


def _create(path: Path) -> None:
    # SQLite would use the umask; its -wal and -shm files later take over this file's mode.
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise unavailable() from error


def _refuse_links(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise unavailable() from error
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise CorralError(
            "database_unsafe",
            "the database is not a plain file of its own",
            remedy="look who changed the state folder; restore the database from a backup",
        )


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not call the busy handler while it changes the journal mode, so two processes
    # that make the database at the same time need this loop.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)
        else:
            return


def unavailable() -> CorralError:
    """Return the error of a database that could not be read or written."""
    return CorralError(
        "database_unavailable",
        "the database cannot be used now",
        remedy="check the state folder's disk space and permissions: corral doctor",
    )
