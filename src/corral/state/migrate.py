"""Bring the schema to the newest revision, under the database's own write lock.

Trust: operator side. Input: the migrations come from the installed package only;
a database of a newer corral is refused, never touched.

The lock is the transaction itself: SQLite's DDL is transactional, so a process killed halfway
leaves the schema as it was, and of several processes the first migrates and the rest find it done.
"""

from __future__ import annotations

from importlib import resources

from sqlalchemy import Connection

from corral.core.errors import CorralError
from corral.state.revision import HEAD


def migrate(connection: Connection) -> None:
    """Upgrade the schema in the caller's write transaction.

    Raises:
        CorralError: code `database_newer`.
    """
    found = schema_revision(connection)
    if found == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    with resources.as_file(resources.files("corral.state") / "migrations") as folder:
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise CorralError(
                "database_newer",
                "the database was written by another version of corral",
                remedy="install that version or a newer one",
            ) from error


def schema_revision(connection: Connection) -> str | None:
    """Return the schema's revision; None for an empty database."""
    table = connection.exec_driver_sql(
        "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'alembic_version'"
    ).first()
    if table is None:
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return str(row[0]) if row else None
