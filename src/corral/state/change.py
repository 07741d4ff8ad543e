"""Notice in a few microseconds that another process changed tenants, keys, grants or models.

Trust: gateway [net]. Input: the database file. A check that cannot run raises, and the caller
denies: a stale answer could let a revoked key in.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from corral.state.connection import open_reader


class ChangeWatch:
    """Watches one database file. Not for use by several threads at once.

    Two steps: `PRAGMA data_version` is raised by any commit of another connection; only then is
    the `revision` counter read, because usage rows are committed all the time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._data_version: int | None = None
        self._revision: int | None = None

    def changed(self) -> bool:
        """Return whether anything changed since the last call; True at the first call.

        A caller that then fails to read the new state must treat itself as stale: the change is
        reported once.

        Raises:
            sqlite3.Error: the check could not run.
            OSError: the database file is gone.
            CorralError: codes `database_unsafe`, `database_unavailable`.
        """
        found = self._path.stat()
        if self._connection is None or (found.st_dev, found.st_ino) != self._file:
            # First call, or the file was replaced (a restored backup): the old connection would
            # watch a file that nobody writes any more.
            self.close()
            self._connection = open_reader(self._path)
            self._file = (found.st_dev, found.st_ino)
        (data_version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if data_version == self._data_version:
            return False
        (revision,) = self._connection.execute("SELECT value FROM revision").fetchone()
        different: bool = revision != self._revision
        self._data_version, self._revision = data_version, revision
        return different

    def close(self) -> None:
        """Close the connection; the next `changed` opens it again and returns True."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._data_version = self._revision = None
