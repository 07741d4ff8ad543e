"""What a restore refuses, and that it then has changed nothing."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from corral.backup.archive import Entry, Manifest
from corral.backup.lockbox import lock_stream
from corral.backup.making import write_backup
from corral.backup.restoring import restore_backup
from corral.core.errors import CorralError
from corral.core.home import Home
from tests.support.backups import LOCK, OPENER, code_of, contents, plain_of

Changed = Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]


def hostile(backup: Path, change: Changed) -> None:
    """Lock the tar of a backup again, changed, as anybody can who knows the public key."""
    with tarfile.open(fileobj=io.BytesIO(plain_of(backup))) as tar:
        members = [(m, file.read()) for m in tar if (file := tar.extractfile(m))]
    change(members)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for member, data in members:
            member.size = len(data) if member.isreg() else member.size
            tar.addfile(member, io.BytesIO(data))
    with backup.open("wb") as file:
        lock_stream([out.getvalue()], file, LOCK)


def _named(path: str, *, told: bool = True, **member_is: object) -> Changed:
    """Rename the last file, in the manifest too, and change its member."""

    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        member, _ = members[-1]
        old, member.name = member.name, path
        for name, value in member_is.items():
            setattr(member, name, value)
        if told:
            _manifest(members, lambda e: msgspec.structs.replace(e, path=path)
                      if e.path == old else e)  # fmt: skip

    return change


def _manifest(
    members: list[tuple[tarfile.TarInfo, bytes]], change: Callable[[Entry], Entry | None]
) -> None:
    found = msgspec.json.decode(members[0][1], type=Manifest)
    files = tuple(new for entry in found.files if (new := change(entry)))
    changed = msgspec.structs.replace(found, files=files)
    members[0] = (members[0][0], msgspec.json.encode(changed))


def _each(**changes: object) -> Changed:
    return lambda members: _manifest(members, lambda e: msgspec.structs.replace(e, **changes))


def _first(data: bytes) -> Changed:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[0] = (members[0][0], data)

    return change


def _database(data: bytes) -> Changed:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[1] = (members[1][0], data)
        digest = hashlib.sha256(data).hexdigest()
        _manifest(members, lambda e: msgspec.structs.replace(e, size=len(data), sha256=digest)
                  if e.path == "state/corral.db" else e)  # fmt: skip

    return change


def _twice(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.append(members[-1])


def _twice_named(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    found = msgspec.json.decode(members[0][1], type=Manifest)
    changed = msgspec.structs.replace(found, files=(*found.files, found.files[-1]))
    members[0] = (members[0][0], msgspec.json.encode(changed))
    members.append(members[-1])


HOSTILE: dict[str, Changed] = {
    "up": _named("../../outside"),
    "up_inside": _named("tls/../../../outside"),
    "absolute": _named("/tmp/outside"),
    "place": _named("run/control.sock"),
    "image": _named("images/gateway/bin/sh"),
    "nul": _named("tls/a\0b", told=True),
    "file_as_folder": _named("corral.toml/x"),
    "symlink": _named("tls/z", type=tarfile.SYMTYPE, linkname="/etc/shadow"),
    "hard_link": _named("tls/z", type=tarfile.LNKTYPE, linkname="secrets/pepper"),
    "device": _named("tls/z", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "fifo": _named("tls/z", type=tarfile.FIFOTYPE),
    "folder": _named("tls/z", type=tarfile.DIRTYPE),
    "other_name": _named("tls/z", told=False),
    "extended_name": _named("tls/z", pax_headers={"path": "../outside"}),
    "extended_size": _named("tls/z", pax_headers={"size": "-512"}),
    "sparse": _named("tls/z", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
    "global": _named("tls/z", type=tarfile.XGLTYPE),
    "long_name": _named("tls/z", type=tarfile.GNUTYPE_LONGNAME),
    "setuid": _each(mode=0o4755),
    "writable": _each(mode=0o666),
    "digest": _each(sha256="0" * 64),
    "size": _each(size=1),
    "negative": _each(size=-1),
    "huge": _each(size=1 << 62),
    "more": _twice,
    "twice": _twice_named,
    "fewer": lambda members: members.pop() and None,
    "order": lambda members: members.reverse(),
    "no_manifest": lambda members: members.pop(0) and None,
    "empty": lambda members: members.clear(),
    "manifest_junk": _first(b"{"),
    "manifest_latin": _first(b'{"format":1,"corral":"\xff"}'),
    "manifest_extra": _first(b'{"format":1,"corral":"","made_at":0,"models":true,"files":[],"":1}'),
    "no_database": _first(b'{"format":1,"corral":"","made_at":0,"models":false,"files":[]}'),
    "newer_format": _first(b'{"format":2,"corral":"","made_at":0,"models":false,"files":[]}'),
}  # fmt: skip


@pytest.mark.claim("BAK-05")
@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_a_hostile_tar_changes_nothing(backed: Path, safe: Path, what: str) -> None:
    shutil.copy(backed, safe)
    there = Home(safe.parent / "in" / "new")
    there.root.mkdir(parents=True)
    there.config_file.write_text("# mine")
    hostile(safe, HOSTILE[what])
    assert code_of(lambda: restore_backup(there, safe, OPENER, replace=True)) == "backup_content"
    assert there.config_file.read_text() == "# mine"
    assert os.listdir(there.root) == ["corral.toml"]
    assert os.listdir(there.root.parent) == ["new"]
    assert sorted(os.listdir(safe.parent)) == ["corral.backup", "in"]


@pytest.mark.claim("BAK-05")
def test_the_same_tar_locked_again_unchanged_is_accepted(backed: Path, safe: Path) -> None:
    shutil.copy(backed, safe)
    hostile(safe, lambda _: None)
    there = Home(safe.parent / "new")
    assert restore_backup(there, safe, OPENER).manifest.files
    assert there.pepper.exists()
    # And what is refused above is what the standard library would do: a link, a file outside.
    hostile(safe, HOSTILE["symlink"])
    with tarfile.open(fileobj=io.BytesIO(plain_of(safe))) as tar:
        tar.extractall(safe.parent / "trusting", filter="fully_trusted")
    assert (safe.parent / "trusting" / "tls" / "z").is_symlink()


@pytest.mark.claim("BAK-05")
def test_a_database_that_is_none_changes_nothing(home: Home, safe: Path) -> None:
    there = Home(safe.parent / "in" / "new")
    there.root.parent.mkdir()

    def newer(version: str) -> bytes:
        path = safe.parent / "db"
        shutil.copy(home.database, path)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
        return path.read_bytes()

    good = newer("0001")
    broken = bytearray(good)
    broken[8192:12288] = b"\xff" * 4096
    for data, code in (
        (newer("9999"), "database_newer"), (newer("'; --"), "backup_database"),
        (b"", "backup_database"), (b"SQLite format 3\0" * 9, "backup_database"),
        (bytes(broken), "backup_database"), (good[:-4096], "backup_database"),
    ):  # fmt: skip
        safe.unlink(missing_ok=True)
        write_backup(home, safe, LOCK)
        hostile(safe, _database(data))
        assert code_of(lambda: restore_backup(there, safe, OPENER)) == code
        assert not os.listdir(there.root.parent)
    write_backup(home, safe, LOCK, force=True)
    hostile(safe, _database(good))
    restore_backup(there, safe, OPENER)


@pytest.mark.claim("BAK-05")
def test_a_damaged_file_changes_nothing(home: Home, safe: Path) -> None:
    write_backup(home, safe, LOCK)
    whole = safe.read_bytes()
    there = Home(safe.parent / "in" / "new")
    there.root.parent.mkdir()
    for data in (
        whole[:-1],
        whole[:70000],
        whole[:50],
        b"",
        whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:],
    ):
        safe.write_bytes(data)
        assert code_of(lambda: restore_backup(there, safe, OPENER)).startswith("backup_")
        assert not os.listdir(there.root.parent)
    missing = safe.with_name("none")
    assert code_of(lambda: restore_backup(there, missing, OPENER)) == "backup_unreadable"
    safe.write_bytes(whole)
    restore_backup(there, safe, OPENER)


@pytest.mark.claim("BAK-06")
def test_nothing_is_replaced_unasked_and_nothing_deleted(home: Home, safe: Path) -> None:
    write_backup(home, safe, LOCK)
    home.config_file.write_text("# mine")
    assert code_of(lambda: restore_backup(home, safe, OPENER)) == "restore_home_exists"
    before = contents(home.root)
    home.run.mkdir(exist_ok=True)
    lock = os.open(home.lock_file, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    again = lambda: restore_backup(home, safe, OPENER, replace=True)  # noqa: E731
    assert code_of(again) == "restore_server_running"
    assert contents(home.root) == before
    os.close(lock)

    def refuse(staged: Home) -> None:
        assert contents(staged.root)
        raise CorralError("audit_not_written", "x")

    refusing = lambda: restore_backup(home, safe, OPENER, replace=True, verified=refuse)  # noqa: E731
    assert code_of(refusing) == "audit_not_written"
    assert contents(home.root) == before
    assert os.listdir(home.root.parent) == ["home"]
    aside = again().aside
    assert aside is not None
    assert (contents(aside), home.config_file.exists()) == (before, False)
    asides = {aside, *(again().aside for _ in range(3))}
    assert len(asides - {None}) == 4, "also within one second"
    empty = Home(safe.parent / "empty")
    empty.root.mkdir()
    assert restore_backup(empty, safe, OPENER).aside is None
    (safe.parent / "file").write_text("")
    assert code_of(lambda: restore_backup(Home(safe.parent / "file"), safe, OPENER)) == (
        "restore_home_exists"
    )
    below = Home(safe.parent / "file" / "x")
    assert code_of(lambda: restore_backup(below, safe, OPENER)) == "restore_failed"
