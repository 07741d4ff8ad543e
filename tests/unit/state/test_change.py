"""Noticing another process's change."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.state.change import ChangeWatch
from corral.state.connection import open_writer
from corral.state.database import open_database

_TENANT = "INSERT INTO tenants (name, created_at) VALUES ('t', 0)"
_KEY = (
    "INSERT INTO keys (prefix, hash, tenant, name, role, created_at)"
    " VALUES ('abcdefgh', zeroblob(32), 't', 'n', 'user', 0)"
)
_GRANT = "INSERT INTO grants (tenant, model, created_at) VALUES ('t', 'm', 0)"
_MODEL = (
    "INSERT INTO models (name, digest, size_bytes, trust, source, admitted_at, receipt, signature)"
    f" VALUES ('m', '{'0' * 64}', 1, 'verified', 's', 0, '{{}}', x'00')"
)
_USAGE = (
    "INSERT INTO usage (ts_ms, tenant, key_id, model, prompt_tokens, completion_tokens,"
    " cached_tokens, status, duration_ms) VALUES (0, 't', 1, 'm', 1, 1, 0, 'ok', 1)"
)


_SHARE = (
    "INSERT INTO shares (owner, receiver, model, digest, offered_at) "
    f"VALUES ('t', 'u', 'm', '{'a' * 64}', 0)"
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    open_database(tmp_path / "corral.db")
    return tmp_path / "corral.db"


@pytest.fixture
def writer(database: Path) -> Iterator[sqlite3.Connection]:
    connection = open_writer(database)
    for statement in (_TENANT, _KEY, _GRANT, _MODEL):
        connection.execute(statement)
    yield connection
    connection.close()


@pytest.fixture
def watch(database: Path, writer: sqlite3.Connection) -> Iterator[ChangeWatch]:
    watch = ChangeWatch(database)
    assert watch.changed()
    assert not watch.changed()
    yield watch
    watch.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO tenants (name, created_at) VALUES ('u', 0)",
        "UPDATE tenants SET frozen_at = 1",
        "UPDATE keys SET revoked_at = 1",
        "UPDATE keys SET expires_at = 1",
        "UPDATE keys SET role = 'operator'",
        "DELETE FROM keys",
        "INSERT INTO grants (tenant, model, created_at) VALUES ('t', '*', 0)",
        "DELETE FROM grants",
        _SHARE,
        "UPDATE models SET receipt = '[]'",
        "DELETE FROM models",
    ],
)
def test_every_change_of_rights_is_noticed_once(
    watch: ChangeWatch, writer: sqlite3.Connection, statement: str
) -> None:
    writer.execute(statement)
    assert watch.changed()
    assert not watch.changed()


@pytest.mark.parametrize("statement", [_USAGE, "UPDATE keys SET last_used_at = 5"])
def test_usage_is_not_a_change(
    watch: ChangeWatch, writer: sqlite3.Connection, statement: str
) -> None:
    writer.execute(statement)
    assert not watch.changed()


def test_an_uncommitted_change_is_not_noticed(
    watch: ChangeWatch, writer: sqlite3.Connection
) -> None:
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM keys")
    assert not watch.changed()
    writer.execute("COMMIT")
    assert watch.changed()


def test_a_replaced_file_is_noticed(watch: ChangeWatch, database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(database, copy)
    copy.replace(database)
    assert watch.changed()


def test_a_check_that_cannot_run_raises(watch: ChangeWatch, database: Path) -> None:
    database.unlink()
    with pytest.raises(OSError, match="No such file"):
        watch.changed()
