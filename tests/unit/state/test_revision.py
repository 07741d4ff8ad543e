"""Whether a database needs a migration, asked without SQLAlchemy."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.state.database import open_database
from corral.state.revision import is_current


def test_only_a_database_of_the_newest_schema_is_current(tmp_path: Path) -> None:
    path = tmp_path / "corral.db"
    assert not is_current(path)
    path.touch(mode=0o600)
    assert not is_current(path)
    open_database(path)
    assert is_current(path)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    assert not is_current(path)
    with connection:
        connection.execute("DELETE FROM alembic_version")
    connection.close()
    assert not is_current(path)


def test_what_is_no_database_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "corral.db"
    path.write_bytes(b"x" * 4096)
    with pytest.raises(CorralError) as caught:
        is_current(path)
    assert caught.value.code == "database_unavailable"
