"""Opening, migrating and sharing the database."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, insert, select
from sqlalchemy.exc import IntegrityError

import corral.state
from corral.core.errors import CorralError
from corral.state import migrate
from corral.state.database import open_database, reading, writing
from corral.state.revision import HEAD
from corral.state.tables import keys, metadata, tenants


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "corral.db"


def test_migrations_from_empty_give_the_declared_tables(database: Path) -> None:
    engine = open_database(database)
    with reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert migrate.schema_revision(connection) == HEAD


def test_the_head_constant_is_the_newest_migration() -> None:
    config = Config()
    folder = Path(corral.state.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_a_current_database_is_opened_without_alembic(database: Path) -> None:
    open_database(database)
    code = (
        "import sys; from pathlib import Path; from corral.state.database import open_database;"
        "open_database(Path(sys.argv[1])); sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(database)], check=True)


def test_the_file_is_private_whatever_the_umask(database: Path) -> None:
    before = os.umask(0)
    try:
        open_database(database)
    finally:
        os.umask(before)
    for path in database.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_a_database_of_a_newer_corral_is_refused_and_left_alone(database: Path) -> None:
    engine = open_database(database)
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CorralError) as refused:
        open_database(database)
    assert refused.value.code == "database_newer"
    with reading(engine) as connection:
        assert migrate.schema_revision(connection) == "9999"


def test_a_migration_that_fails_halfway_leaves_nothing(database: Path) -> None:
    engine = open_database(database)

    def migrate_halfway() -> None:
        with writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE half (id INTEGER)")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        migrate_halfway()
    with reading(engine) as connection:
        found = connection.exec_driver_sql("SELECT 1 FROM sqlite_schema WHERE name = 'half'")
        assert found.first() is None


def test_two_processes_make_the_same_database_at_once(database: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from corral.state.database import open_database;"
        "open_database(Path(sys.argv[1]))"
    )
    made = [subprocess.Popen([sys.executable, "-c", code, str(database)]) for _ in range(2)]
    assert [process.wait(60) for process in made] == [0, 0]
    with reading(open_database(database)) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_writers_wait_for_each_other(database: Path) -> None:
    engine = open_database(database)

    def write(first: int) -> None:
        for number in range(first, first + 25):
            with writing(engine) as connection:
                connection.execute(insert(tenants).values(name=f"t{number}", created_at=0))

    threads = [threading.Thread(target=write, args=(1000 * n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as connection:
        assert len(connection.execute(select(tenants)).all()) == 75


def test_reading_does_not_wait_for_a_writer(database: Path) -> None:
    engine = open_database(database)
    with writing(engine) as writer:
        writer.execute(insert(tenants).values(name="new", created_at=0))
        with reading(engine) as reader:
            assert reader.execute(select(tenants)).all() == []


@pytest.mark.parametrize(
    "values",
    [
        {"tenant": "nobody"},
        {"hash": b"short"},
        {"role": "root"},
    ],
)
def test_constraints_refuse_rows_that_make_no_sense(
    database: Path, values: dict[str, object]
) -> None:
    engine = open_database(database)
    with writing(engine) as connection:
        connection.execute(insert(tenants).values(name="t", created_at=0))
    row = {
        "prefix": "abcdefgh", "hash": bytes(32), "tenant": "t", "name": "n", "role": "tenant",
        "created_at": 0,
    }  # fmt: skip
    with pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(insert(keys).values(row | values))


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "fifo", "folder"])
def test_only_a_plain_file_of_its_own_is_opened(database: Path, kind: str) -> None:
    other = database.with_name("other")
    other.write_bytes(b"precious")
    if kind == "symlink":
        database.symlink_to(other)
    elif kind == "hardlink":
        database.hardlink_to(other)
    elif kind == "fifo":
        os.mkfifo(database)
    else:
        database.mkdir()
    with pytest.raises(CorralError) as refused:
        open_database(database)
    assert refused.value.code == "database_unsafe"
    assert other.read_bytes() == b"precious"


def test_garbage_is_refused_by_code(database: Path) -> None:
    database.write_bytes(b"not a database, " * 100)
    with pytest.raises(CorralError) as refused:
        open_database(database)
    assert refused.value.code == "database_unavailable"


def test_a_missing_folder_is_refused_by_code(tmp_path: Path) -> None:
    with pytest.raises(CorralError) as refused:
        open_database(tmp_path / "none" / "corral.db")
    assert refused.value.code == "database_unavailable"
    assert str(tmp_path) not in str(refused.value)


def test_roles_of_earlier_databases_have_their_new_names(database: Path) -> None:
    """The key's hash, its id and the counter of ids stay; the triggers are there again."""
    earlier = migrate_to(database, "0004")
    for key_id, role in ((1, "tenant"), (2, "admin"), (9, "tenant")):
        earlier.execute(
            "INSERT INTO keys (id, prefix, hash, tenant, name, role, created_at)"
            " VALUES (?, ?, ?, 'acme', 'n', ?, 1)", (key_id, f"p{key_id}", b"h" * 32, role),
        )  # fmt: skip
    earlier.execute("DELETE FROM keys WHERE id = 9")
    earlier.close()
    engine = open_database(database)
    with writing(engine) as connection:
        query = "SELECT id, role, scopes, hash FROM keys ORDER BY id"
        found = [tuple(row) for row in connection.exec_driver_sql(query)]
        before = connection.exec_driver_sql("SELECT value FROM revision").scalar()
        connection.exec_driver_sql(
            "INSERT INTO keys (prefix, hash, tenant, name, role, created_at)"
            " SELECT 'new', hash, tenant, name, role, 1 FROM keys WHERE id = 1"
        )
        connection.exec_driver_sql("UPDATE keys SET last_used_at = 2")
        connection.exec_driver_sql("UPDATE tenants SET removed_at = 2")
        after = connection.exec_driver_sql("SELECT value FROM revision").scalar()
        newest = connection.exec_driver_sql("SELECT max(id) FROM keys").scalar()
    assert found == [(1, "user", None, b"h" * 32), (2, "operator", None, b"h" * 32)]
    assert (newest, after) == (10, before + 2)


def test_models_of_earlier_databases_are_known_by_their_digest(database: Path) -> None:
    """A share that was accepted before there were derived models holds on."""
    earlier = migrate_to(database, "0010")
    earlier.execute(
        "INSERT INTO models (name, digest, size_bytes, trust, source, admitted_at, receipt,"
        " signature) VALUES ('m', ?, 1, 'verified', 's', 0, '{}', x'00')", ("a" * 64,),
    )  # fmt: skip
    earlier.close()
    with reading(open_database(database)) as connection:
        row = connection.exec_driver_sql("SELECT digest, identity, adapter FROM models").one()
    assert tuple(row) == ("a" * 64, "a" * 64, None)


def migrate_to(database: Path, revision: str) -> sqlite3.Connection:
    """Return an earlier corral's database, with one tenant."""
    config = Config()
    folder = Path(corral.state.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    database.chmod(0o600)
    earlier = sqlite3.connect(database, isolation_level=None)
    earlier.execute("INSERT INTO tenants (name, created_at) VALUES ('acme', 1)")
    return earlier
