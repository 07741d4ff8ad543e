"""Files, links and folders swapped at every point of a pull: no swapped byte is ever stored.

Whoever can do this has the operator's uid already; the point is that no name is trusted after the
bytes were hashed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.admission.catalog import Catalog
from corral.admission.store import store_blob
from corral.core.errors import CorralError
from corral.core.home import Home
from tests.support.gguf_file import STRING, GgufFile, scalar
from tests.unit.admission.conftest import Pull

OTHER = GgufFile().with_value("general.name", scalar(STRING, "other")).encode()
Swap = Callable[[Path, Path], None]


def by_file(path: Path, spare: Path) -> None:
    spare.write_bytes(OTHER)
    spare.chmod(0o444)
    spare.replace(path)


def by_link(path: Path, spare: Path) -> None:
    spare.write_bytes(OTHER)
    path.unlink(missing_ok=True)
    path.symlink_to(spare)


def by_folder(path: Path, spare: Path) -> None:
    spare.mkdir(exist_ok=True)
    (spare / "model").write_bytes(OTHER)
    path.unlink(missing_ok=True)
    spare.rename(path)


def by_writing(path: Path, spare: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(OTHER[: path.stat().st_size])
    path.chmod(0o444)


SWAPS = [by_file, by_link, by_folder, by_writing]


def stored(home: Home) -> list[Path]:
    return [path for path in home.blobs.iterdir() if not path.name.startswith(".")]


def check_stored(home: Home) -> None:
    """Whatever is in the store is what its name says, and each name has its blob."""
    for path in stored(home):
        assert stat.S_ISREG(path.lstat().st_mode)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    entries = Catalog(home.database, home.receipt_public_key.read_bytes()).entries()
    assert {entry.digest for entry in entries.values()} == {path.name for path in stored(home)}


@pytest.mark.claim("STO-03")
@pytest.mark.parametrize("swap", SWAPS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("stage", ["scan", "trial", "admit"])
def test_a_copy_that_is_swapped_in_quarantine_is_not_stored(
    home: Home, pull: Pull, model_file: Path, tmp_path: Path, stage: str, swap: Swap
) -> None:
    digest = hashlib.sha256(model_file.read_bytes()).hexdigest()
    done: list[str] = []

    def strike(now: str, _done: int, _total: int) -> None:
        if now == stage and not done:
            done.append(now)
            swap(home.quarantine / "blobs" / digest, tmp_path / "spare")

    with pytest.raises((CorralError, AssertionError, OSError)):
        pull(model_file, progress=strike)
    assert done
    check_stored(home)
    assert stored(home) == []


@pytest.mark.claim("STO-03")
@pytest.mark.parametrize("swap", SWAPS[:3], ids=lambda one: one.__name__)
def test_a_source_that_is_swapped_while_it_is_copied_is_the_one_that_was_opened(
    home: Home, pull: Pull, model_file: Path, tmp_path: Path, swap: Swap
) -> None:
    digest = hashlib.sha256(model_file.read_bytes()).hexdigest()
    done: list[str] = []

    def strike(now: str, _done: int, _total: int) -> None:
        if now == "copy" and not done:
            done.append(now)
            swap(model_file, tmp_path / "spare")

    assert pull(model_file, progress=strike).digest == digest
    assert done
    check_stored(home)


@pytest.mark.claim("STO-03")
@pytest.mark.parametrize("swap", SWAPS, ids=lambda one: one.__name__)
def test_what_stands_in_the_store_under_the_name_is_replaced(
    home: Home, pull: Pull, model_file: Path, tmp_path: Path, swap: Swap
) -> None:
    blob = home.blob(pull(model_file).digest)
    swap(blob, tmp_path / "spare")
    pull(model_file)
    for path in home.blobs.glob(".new-*"):
        shutil.rmtree(path)
    check_stored(home)


@pytest.mark.claim("STO-03")
def test_a_store_that_is_a_link_is_not_written(
    home: Home, pull: Pull, model_file: Path, tmp_path: Path
) -> None:
    home.blobs.rmdir()
    (tmp_path / "elsewhere").mkdir()
    home.blobs.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="Not a directory"):
        pull(model_file)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.claim("STO-04")
def test_a_blob_is_synced_before_its_name_and_only_read_from_then_on(
    home: Home, pull: Pull, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def seen_fsync(fd: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"
        calls.append(f"fsync {kind}")
        fsync(fd)

    def seen_rename(*args: object, **options: object) -> None:
        calls.append("rename")
        rename(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "rename", seen_rename)
    blob = home.blob(pull(model_file).digest)
    at = calls.index("rename")
    assert "fsync file" in calls[:at]
    assert "fsync folder" in calls[at:]
    assert stat.S_IMODE(blob.stat().st_mode) == 0o444
    assert blob.stat().st_nlink == 1


def test_another_digest_than_the_admitted_one_is_not_stored(home: Home) -> None:
    class Named:
        digests = frozenset({"0" * 64})

    class Sealed:
        digest = "1" * 64

    with pytest.raises(CorralError) as caught:
        store_blob(home, Named(), Sealed())  # type: ignore[arg-type]
    assert caught.value.code == "blob_changed"
