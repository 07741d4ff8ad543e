"""The stdlib connections of the gateway's hot path."""

import sqlite3
from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.state.connection import open_reader, open_writer
from corral.state.database import open_database


@pytest.mark.parametrize("opener", [open_reader, open_writer])
def test_a_missing_database_is_never_made_by_the_way(tmp_path: Path, opener: object) -> None:
    assert callable(opener)
    with pytest.raises(CorralError) as refused:
        opener(tmp_path / "corral.db")
    assert refused.value.code == "database_unavailable"
    assert list(tmp_path.iterdir()) == []


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    open_database(tmp_path / "corral.db")
    reader = open_reader(tmp_path / "corral.db")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO tenants (name, created_at) VALUES ('t', 0)")
    reader.close()


def test_a_writer_enforces_foreign_keys_and_wal(tmp_path: Path) -> None:
    open_database(tmp_path / "corral.db")
    writer = open_writer(tmp_path / "corral.db", fsync=False)
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert writer.execute("PRAGMA foreign_keys").fetchone() == (1,)
    with pytest.raises(sqlite3.IntegrityError):
        writer.execute("INSERT INTO grants (tenant, model, created_at) VALUES ('x', 'm', 0)")
    writer.close()


@pytest.mark.parametrize("opener", [open_reader, open_writer])
def test_a_file_that_is_no_database_is_refused_by_code(tmp_path: Path, opener: object) -> None:
    assert callable(opener)
    (tmp_path / "corral.db").write_bytes(b"garbage " * 512)
    with pytest.raises(CorralError) as refused:
        opener(tmp_path / "corral.db")
    assert refused.value.code == "database_unavailable"
