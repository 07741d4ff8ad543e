"""Backups of a real installation: what is in them, and what never is."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pyrage.x25519 import Recipient

from corral.backup.making import write_backup
from corral.backup.restoring import restore_backup
from corral.core.home import Home
from corral.core.ids import Digest
from corral.state.connection import open_writer
from corral.tenancy.setup import initialise
from tests.support.backups import LOCK, OPENER, code_of, contents, plain_of

DIGEST = Digest("a" * 64)


def test_what_is_in_and_comes_back(home: Home, safe: Path) -> None:
    home.config_file.write_text("[limits]\n")
    for folder in ("advisories", "policy", "journal", "audit"):
        (home.root / folder).mkdir(exist_ok=True)
    (home.advisories / "X-1.json").write_text("{}")
    (home.root / "journal" / "admissions.jsonl").write_text('{"a":1}\n{"half')
    (home.root / "audit" / "audit-operator-00000001.jsonl").write_text("line\n")
    (home.state / "audit-gateway-00000001.jsonl").write_text("line\n")
    (home.secrets / ".pepper.new").write_text("left by a crash")
    manifest = write_backup(home, safe, LOCK)
    assert safe.stat().st_mode & 0o777 == 0o600
    there = Home(safe.parent / "new" / "home")
    done = restore_backup(there, safe, OPENER)
    assert (done.aside, done.manifest) == (None, manifest)
    before, after = contents(home.root), contents(there.root)
    assert after["journal/admissions.jsonl"][0] == b'{"a":1}\n', "no half line"
    for name in ("journal/admissions.jsonl", "state/corral.db"):
        del before[name], after[name]
    del before[f"store/sha256/{DIGEST}"]
    assert before == after
    assert {"secrets/master.key", "tls/ca.crt", "advisories/X-1.json"} <= set(after)
    assert not there.log_file.exists()
    assert os.listdir(there.root.parent) == ["home"]
    assert not list(home.root.glob(".backup-*"))
    initialise(there)  # what `corral up` does: folders and their modes, nothing new
    assert there.pepper.read_bytes() == home.pepper.read_bytes()
    write_backup(home, safe, LOCK, models=True, force=True)
    restore_backup(there, safe, OPENER, replace=True)
    assert there.blob(DIGEST).read_bytes() == b"GGUF weights"


@pytest.mark.claim("BAK-02")
def test_no_secret_is_readable_in_the_file(home: Home, safe: Path) -> None:
    write_backup(home, safe, LOCK, models=True)
    locked, plain = safe.read_bytes(), plain_of(safe)
    secrets = [path.read_bytes() for path in home.secrets.iterdir()]
    secrets += [home.server_key.read_bytes(), b"GGUF weights", b"SQLite format 3"]
    assert len(secrets) > 6
    for secret in secrets:
        assert secret in plain, "the search finds what is there"
        for place in range(0, len(secret) - 11, 4):
            assert secret[place : place + 12] not in locked


@pytest.mark.claim("BAK-03")
def test_a_backup_beside_a_writer_is_one_moment(home: Home, safe: Path) -> None:
    with closing(open_writer(home.database)) as connection:
        connection.execute("CREATE TABLE pairs (n INTEGER)")
        connection.execute("CREATE TABLE again (n INTEGER)")
    done, written = threading.Event(), threading.Event()

    def write() -> None:
        with closing(open_writer(home.database, fsync=False)) as connection:
            number = 0
            while not done.is_set():
                number += 1
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO pairs VALUES (?)", (number,))
                connection.execute("INSERT INTO again VALUES (?)", (number,))
                connection.execute("COMMIT")
                written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(30)
        for _ in range(3):
            write_backup(home, safe, LOCK, force=True)
            there = Home(safe.parent / "new")
            restore_backup(there, safe, OPENER, replace=True)
            with closing(sqlite3.connect(there.database)) as found:
                counts = [
                    found.execute(f"SELECT count(*), max(n) FROM {name}").fetchone()
                    for name in ("pairs", "again")
                ]
            assert counts[0] == counts[1]
            assert counts[0][0] == counts[0][1] > 0
    finally:
        done.set()
        writer.join()
    # The control: the file alone, without what is in the write-ahead log, is not all of it.
    with closing(open_writer(home.database)) as held:
        held.execute("INSERT INTO pairs VALUES (-7)")
        (safe.parent / "copied").write_bytes(home.database.read_bytes())
        write_backup(home, safe, LOCK, force=True)
    with closing(sqlite3.connect(f"file:{safe.parent}/copied?immutable=1", uri=True)) as found:
        assert not found.execute("SELECT 1 FROM pairs WHERE n = -7").fetchall()
    restore_backup(there, safe, OPENER, replace=True)
    with closing(sqlite3.connect(there.database)) as found:
        assert found.execute("SELECT 1 FROM pairs WHERE n = -7").fetchall()


@pytest.mark.claim("BAK-04")
@pytest.mark.parametrize(
    "kind", ["link", "hard_link", "fifo", "name", "long_name", "no_text", "config_link"]
)
def test_what_somebody_put_into_the_state_folder_is_not_read(
    home: Home, safe: Path, kind: str
) -> None:
    segment = home.state / "audit-gateway-00000001.jsonl"
    secret = safe.parent / "shadow"
    secret.write_text("root's")
    match kind:
        case "link":
            segment.symlink_to(secret)
        case "hard_link":
            os.link(secret, segment)
        case "fifo":
            os.mkfifo(segment)
        case "name":
            (home.secrets / "new\nline").write_text("")
        case "long_name":
            (home.advisories / ("n" * 120)).parent.mkdir(exist_ok=True)
            (home.advisories / ("n" * 120)).write_text("")
        case "no_text":
            (home.secrets / os.fsdecode(b"\xff")).write_text("")
        case "config_link":
            home.config_file.symlink_to(secret)
    assert code_of(lambda: write_backup(home, safe, LOCK)) == "backup_unsafe_file"
    assert os.listdir(safe.parent) == ["shadow"]


@pytest.mark.claim("BAK-04")
def test_a_backup_that_fails_leaves_nothing(home: Home, safe: Path) -> None:
    grown = home.root / "tls" / "z"
    grown.write_bytes(b"x" * 99)

    class Late(list[Recipient]):
        """Recipients that are asked for after the files were read for the first time."""

        def __iter__(self) -> Iterator[Recipient]:
            grown.write_bytes(b"y" * 99)
            return super().__iter__()

    safe.write_bytes(b"an old one")
    assert code_of(lambda: write_backup(home, safe, LOCK)) == "backup_exists"
    assert code_of(lambda: write_backup(home, safe, Late(LOCK), force=True)) == "backup_changed"
    assert safe.read_bytes() == b"an old one"
    assert os.listdir(safe.parent) == [safe.name]
    assert code_of(lambda: write_backup(home, safe / "x", LOCK)) == "backup_not_written"
    (safe.parent / "link").symlink_to(home.pepper)
    link = safe.parent / "link"
    assert code_of(lambda: write_backup(home, link, LOCK, force=True)) == "backup_exists"
    assert not list(home.root.glob(".backup-*"))
    write_backup(home, safe, LOCK, force=True)
    assert plain_of(safe)
