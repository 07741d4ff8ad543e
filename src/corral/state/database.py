"""The SQLAlchemy side of the database: open, migrate, read, write.

Trust: operator side (command line, setup, admission); the gateway's hot path uses
`state.connection` instead. Input: trusted path; every value reaches SQL as a bound parameter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.pool import NullPool

from corral.state.connection import open_writer, unavailable
from corral.state.migrate import migrate, schema_revision
from corral.state.revision import HEAD


def open_database(path: Path) -> Engine:
    """Open the database, make it if it is missing, and migrate it to the newest schema.

    Plain `engine.begin()` and `engine.connect()` take the write lock at once, so that a
    transaction which reads and then writes cannot fail halfway; use `reading` for pure reads.

    Raises:
        CorralError: codes `database_unsafe`, `database_unavailable`, `database_newer`.
    """
    engine = create_engine(
        "sqlite://", creator=lambda: open_writer(path, create=True), poolclass=NullPool
    )
    event.listen(engine, "begin", _begin)
    with reading(engine) as connection:
        if schema_revision(connection) == HEAD:
            return engine
    with writing(engine) as connection:
        migrate(connection)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection that sees one snapshot and waits for nobody.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with _typed_errors(), engine.execution_options(reading=True).connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give a connection in a write transaction; commit at the end, roll back on any exception.

    Raises:
        CorralError: code `database_unavailable`.
        IntegrityError: a constraint refused the change; the caller says what that means.
    """
    with _typed_errors(), engine.begin() as connection:
        yield connection


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except DatabaseError as error:
        raise unavailable() from error
