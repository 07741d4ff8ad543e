"""Which schema the database has, asked without a database toolkit.

Trust: operator side. Input: the path is trusted; the gateway's zone can write the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from corral.state.connection import read_rows

HEAD: Final = "0013"
"""Newest revision: a constant, so that a current database costs no import of SQLAlchemy."""


def is_current(path: Path) -> bool:
    """Return whether the database is there and needs no migration.

    Raises:
        CorralError: codes `database_unsafe`, `database_unavailable`.
    """
    if not path.exists():
        return False
    named = read_rows(path, "SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'")
    return bool(named) and read_rows(path, "SELECT version_num FROM alembic_version") == [(HEAD,)]
