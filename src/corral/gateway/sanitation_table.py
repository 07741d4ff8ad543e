"""The sanitation policies in the database: one document, checked on the way in and on the way out.

Trust: gateway [net] and operator side. Input: an operator's file; what the gateway reads is parsed
again, since its own zone can write the database.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Final

from corral.guard.policy_file import parse_policy_set
from corral.state.connection import open_reader
from corral.state.transaction import transaction

_READ: Final = "SELECT document FROM sanitation"
_SET: Final = """
INSERT INTO sanitation (id, document, changed_at) VALUES (1, ?, ?)
ON CONFLICT (id) DO UPDATE SET document = excluded.document, changed_at = excluded.changed_at
"""


def read_document(database: Path) -> str:
    """Return the operator's document; empty where nobody set one.

    Raises:
        CorralError: codes `database_unsafe`, `database_unavailable`.
        sqlite3.Error: it cannot be read.
    """
    with closing(open_reader(database)) as connection:
        row = connection.execute(_READ).fetchone()
    return str(row[0]) if row is not None else ""


def set_document(database: Path, document: str) -> None:
    """Put a document in place of the one that is there; a running server goes by it at once.

    Raises:
        CorralError: codes `sanitation_invalid`, `database_unavailable`; the old one stays.
    """
    parse_policy_set(document)
    with transaction(database) as connection:
        connection.execute(_SET, (document, int(time.time())))


def remove_document(database: Path) -> bool:
    """Go back to the defaults; return whether a document was there.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with transaction(database) as connection:
        return connection.execute("DELETE FROM sanitation").rowcount > 0
