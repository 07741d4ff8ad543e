"""Where SQLite puts what does not fit into memory: large sorts, a database that is rewritten.

Trust: gateway [net]; once, before anything else uses SQLite. Input: a fixed path.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def spill_into(folder: Path) -> None:
    """Have this process's temporary files of SQLite in a folder; they have no name there.

    SQLite reads the environment only when it is loaded, which an import does; so by the pragma.
    """
    with closing(sqlite3.connect(":memory:")) as connection:
        name = str(folder).replace("'", "''")
        connection.execute(f"PRAGMA temp_store_directory = '{name}'")
