"""Columns of the catalog are no paths: the gateway's zone can write them, and the operator deletes.

Each control joins the value as it is: it names the victim.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from corral.admission.catalog_changes import remove_entry
from corral.admission.fsck import check_store
from corral.admission.journal import read_journal
from corral.admission.quarantine import collect_garbage, sweep_quarantine
from corral.admission.rotten import rotten_folder
from corral.admission.store import remove_blob
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.admitted_row import make_receipt, put_signed
from tests.unit.admission import test_adapters
from tests.unit.admission.conftest import Pull
from tests.unit.admission.test_adapters import SHA, Lay

lay = test_adapters.lay


@pytest.fixture
def victim() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        path = Path(folder).resolve() / "v"
        path.write_bytes(b"the operator's")
        yield path


def set_column(home: Home, column: str, value: object, name: str = "tiny") -> None:
    with closing(sqlite3.connect(home.database)) as database, database:
        statement = f"UPDATE models SET {column} = ? WHERE name = ?"
        assert database.execute(statement, (value, name)).rowcount == 1


def forged(home: Home, victim: Path, kind: str) -> tuple[str, Path]:
    """Return a value for a column, and the file that it would name if it were joined."""
    match kind:
        case "absolute":
            return str(victim), victim
        case "padded":
            return str(victim).rjust(64, "/"), victim
        case _:
            key = home.secrets / "master.key"
            key.write_bytes(b"the operator's")
            return "../../secrets/master.key", key


@pytest.mark.claim("ADM-46")
@pytest.mark.parametrize(
    ("column", "kind"), [("adapter", "absolute"), ("adapter", "relative"), ("digest", "padded")]
)
def test_no_column_is_a_path_that_is_deleted(
    home: Home, pull: Pull, model_file: Path, victim: Path, column: str, kind: str
) -> None:
    pull(model_file, name="tiny")
    value, file = forged(home, victim, kind)
    set_column(home, column, value)
    assert (home.blobs / value).samefile(file), "control: the old join names the victim"
    with pytest.raises(CorralError, match="digest"):
        remove_blob(home, Digest(value))
    with pytest.raises(CorralError, match="digest"):
        home.blob(Digest(value))
    (trouble,) = check_store(home).troubles
    assert (trouble.kind, trouble.where) == ("receipt", "tiny")
    assert collect_garbage(home) == ()
    remove_entry(home, "tiny")
    collect_garbage(home)
    assert file.read_bytes() == b"the operator's"
    assert list(home.blobs.iterdir()) == []
    last = list(read_journal(home))[-1].entry
    assert last is not None
    assert (last.what, last.name, value in last.sha256) == ("removed", "tiny", False)
    (home.blobs / value).unlink()
    assert not file.exists(), "control: joined as it is, the deletion hits the victim"


@pytest.mark.claim("ADM-46")
@pytest.mark.parametrize("value", ["", "x" * 300, "a\0b", "0" * 63 + "\n"])
def test_a_column_that_is_no_digest_is_told_and_stops_no_check(
    home: Home, pull: Pull, model_file: Path, value: str
) -> None:
    entry = pull(model_file, name="tiny")
    assert check_store(home).troubles == ()  # control
    set_column(home, "adapter", value)
    (trouble,) = check_store(home).troubles
    assert (trouble.kind, trouble.where) == ("receipt", "tiny")
    sweep_quarantine(home)
    assert home.blob(entry.digest).is_file()
    remove_entry(home, "tiny")
    assert not home.blob(entry.digest).exists()


@pytest.mark.claim("ADM-46")
def test_what_a_receipt_names_is_not_swept_whatever_the_columns_say(
    home: Home, pull: Pull, lay: Lay, model_file: Path
) -> None:
    base = pull(model_file, name="tiny")
    pull(model_file, name="other")
    lay()
    set_column(home, "adapter", None, "laid")
    for name in ("tiny", "other", "laid"):
        set_column(home, "digest", "0" * 64, name)
    sweep_quarantine(home)
    assert collect_garbage(home) == ()
    set_column(home, "digest", base.digest, "other")
    set_column(home, "adapter", SHA, "other")
    remove_entry(home, "other")
    assert {path.name for path in home.blobs.iterdir()} == {base.digest, SHA}
    remove_entry(home, "laid")
    assert collect_garbage(home) == (SHA,), "control: what no receipt names any more goes"


@pytest.mark.claim("ADM-46")
def test_a_row_with_no_name_does_not_keep_what_rotted_in_its_place(
    home: Home, pull: Pull, model_file: Path
) -> None:
    entry = pull(model_file, name="tiny")
    for name in ("x" * 70_000, "../up", "a\0b"):
        put_signed(home, make_receipt(name=name, digest=entry.digest), "no receipt", b"")
    blob = home.blob(entry.digest)
    blob.chmod(0o600)
    blob.write_bytes(b"rotten")
    assert "rotten" in {trouble.kind for trouble in check_store(home).troubles}
    assert not blob.exists()
    kept = [path.name for path in rotten_folder(home).iterdir()]
    assert len([name for name in kept if name.endswith(".json")]) == 4
    assert f"{entry.digest}.1.tiny.json" in kept
    assert [line.fault for line in read_journal(home) if line.fault] == []


def test_the_journal_has_the_model_of_an_adapter_that_rotted(
    home: Home, pull: Pull, lay: Lay, model_file: Path
) -> None:
    base = pull(model_file, name="tiny")
    lay()
    blob = home.blob(SHA)
    blob.chmod(0o600)
    blob.write_bytes(b"rotten")
    assert "rotten" in {trouble.kind for trouble in check_store(home).troubles}
    last = list(read_journal(home))[-1].entry
    assert last is not None
    assert (last.what, last.name, last.sha256) == ("removed", "laid", base.digest)
