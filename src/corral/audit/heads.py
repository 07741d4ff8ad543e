"""The newest seal of each chain, kept in the database, apart from the files that it signs.

Trust: gateway [net] and operator side. Input: rows that the gateway's zone can write; a seal is
believed only if its signature holds. Whoever cuts the files off at their end has to bring an older
seal into the database as well; the operator's chain then still names the newer one.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.audit.record import Chain, name_of, parse_line
from corral.state.connection import open_reader, unavailable

_READ: Final = "SELECT line FROM audit_heads WHERE chain = ?"
_WRITE: Final = (
    "INSERT INTO audit_heads (chain, line) VALUES (?, ?)"
    " ON CONFLICT (chain) DO UPDATE SET line = excluded.line"
)


@dataclass(frozen=True, slots=True)
class Head:
    """A seal that was seen.

    Attributes:
        seq: its number; 0 is none.
        name: of its line.
        line: itself.
    """

    seq: int = 0
    name: str = ""
    line: bytes = b""


def read_head(database: Path, chain: Chain) -> Head:
    """Return the newest seal; its signature is not checked here.

    Raises:
        CorralError: codes `database_unsafe`, `database_unavailable`.
    """
    try:
        with closing(open_reader(database)) as connection:
            row = connection.execute(_READ, (chain,)).fetchone()
    except sqlite3.Error as error:
        raise unavailable() from error
    if row is None:
        return Head()
    line = bytes(row[0])
    record = parse_line(line)
    return Head(record.seq if record else -1, name_of(line), line)


def write_head(connection: sqlite3.Connection, chain: Chain, seal: bytes) -> None:
    """Replace the newest seal.

    Raises:
        sqlite3.Error: it is still the old one.
    """
    connection.execute(_WRITE, (chain, seal))
