"""Wiping a tenant: its data key is destroyed, and with it whatever was encrypted or digested.

Trust: operator side. Input: the operator's command.

    1 freeze       the gateway refuses the tenant's keys from now on
    2 stop         its engines are killed, and with them what they remember (the caller does that)
    3 erase        its data key, what was stored under it, the hashes of its API keys, the rows of
                   its certificates: at once
    4 scrub        the write-ahead log is emptied; pages where the old bytes still are get rewritten
    5 look         the wrapped key is searched in the files of the database

What is left: grants, limits and usage, which are the operator's, and the audit log, whose digests
of the tenant's prompts nobody can compute any more. Blocks that the file system has freed, and
backups of before, are out of reach: the wrapped key in them is of use to who has the master key as
well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.state.connection import open_writer, unavailable
from corral.state.transaction import transaction

_FREEZE: Final = (
    "UPDATE tenants SET frozen_at = coalesce(frozen_at, unixepoch()) WHERE name = ? RETURNING name"
)
_KEY: Final = "SELECT wrapped FROM tenant_keys WHERE tenant = ?"
_DESTROY: Final = "DELETE FROM tenant_keys WHERE tenant = ?"
_STORED: Final = "DELETE FROM stored_completions WHERE tenant = ?"
_REVOKE: Final = (
    "UPDATE keys SET revoked_at = coalesce(revoked_at, unixepoch()), hash = zeroblob(32),"
    " old_hash = NULL, old_until = NULL WHERE tenant = ?"
)
_UNMAP: Final = "DELETE FROM client_certificates WHERE tenant = ? AND revoked_at IS NULL"
_PIECE_BYTES: Final = 1 << 20


def freeze_for_wipe(database: Path, name: str) -> TenantName:
    """Do step 1.

    Raises:
        CorralError: codes `no_such_tenant`, `database_unavailable`.
    """
    with transaction(database) as connection:
        row = connection.execute(_FREEZE, (name,)).fetchone()
        if row is None:
            raise CorralError("no_such_tenant", "there is no such tenant")
    return TenantName(row[0])


def erase_tenant(database: Path, tenant: TenantName, *, look: bool = True) -> None:
    """Do steps 3 to 5; safe to repeat.

    Args:
        database: the installation's.
        tenant: a frozen one.
        look: search the files for the key's bytes, and rewrite all only if they are there. Never
            in a process that has the database open elsewhere (`holds`); without it all is
            rewritten.

    Raises:
        CorralError: codes `database_unavailable`, `wipe_incomplete`: the tenant's key is gone from
            the tables, and its bytes are still in the file.
    """
    with _writing(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        row = connection.execute(_KEY, (tenant,)).fetchone()
        connection.execute(_DESTROY, (tenant,))
        connection.execute(_STORED, (tenant,))
        connection.execute(_REVOKE, (tenant,))
        connection.execute(_UNMAP, (tenant,))
        connection.execute("COMMIT")
        emptied = _empty_log(connection)
    wrapped = bytes(row[0]) if row else b""
    # Without a key to look for, an earlier wipe may have left its bytes: all is rewritten.
    if not (look and wrapped) or holds(database, wrapped):
        with _writing(database) as connection:
            connection.execute("VACUUM")
            emptied = _empty_log(connection)
    if not emptied or (look and wrapped and holds(database, wrapped)):
        raise CorralError(
            "wipe_incomplete",
            "the tenant's key is deleted, and a copy of it is still in the database's files",
            remedy="stop the server and wipe again",
        )


def holds(database: Path, needle: bytes) -> bool:
    """Return whether the files of the database have some bytes anywhere.

    Never in a process that has the database open: closing a file drops all locks that the process
    holds on it, SQLite's among them, and the next one to close the database would then remove the
    log under it (https://sqlite.org/howtocorrupt.html, section 2.2).
    """
    for ending in ("", "-wal", "-shm"):
        path = database.with_name(database.name + ending)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue
        with file:
            before = b""
            while piece := file.read(_PIECE_BYTES):
                if needle in before + piece:
                    return True
                before = piece[-len(needle) :]
    return False


def _empty_log(connection: sqlite3.Connection) -> bool:
    """Return whether nothing of the log is left; a busy reader keeps it for the moment."""
    busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    return not busy


@contextmanager
def _writing(database: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(open_writer(database)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            yield connection
    except sqlite3.Error as error:
        raise unavailable() from error
