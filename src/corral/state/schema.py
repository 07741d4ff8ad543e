"""Make sure of the schema, without a database toolkit where nothing is to be done.

Trust: operator side. Input: as `state.revision`.
"""

from __future__ import annotations

from pathlib import Path

from corral.state.revision import is_current


def ensure_current(path: Path) -> None:
    """Make the database or migrate it, if need be; a current one costs no import of SQLAlchemy.

    Raises:
        CorralError: codes `database_unsafe`, `database_unavailable`, `database_newer`.
    """
    if not is_current(path):
        from corral.state.database import open_database

        open_database(path)
