"""A damaged store: each harm is told by its kind, and what rotted is never served again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corral.admission.catalog import Catalog
from corral.admission.fsck import Checked, check_store
from corral.admission.quarantine import collect_garbage
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.gguf_file import STRING, GgufFile, scalar
from tests.support.server import CORRAL
from tests.unit.admission.conftest import Pull


def run_fsck(home: Home, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(CORRAL), "fsck", "--home", str(home.root), *options],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def kinds(checked: Checked) -> set[str]:
    return {trouble.kind for trouble in checked.troubles}


def other_file(path: Path, number: int) -> Path:
    path.write_bytes(GgufFile().with_value("general.name", scalar(STRING, str(number))).encode())
    return path


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(0o444)


def names(home: Home) -> set[str]:
    return set(Catalog(home.database, home.receipt_public_key.read_bytes()).entries())


@pytest.mark.claim("STO-01")
def test_a_sound_store_has_no_trouble(home: Home, pull: Pull, model_file: Path) -> None:
    entry = pull(model_file)
    seen: list[int] = []
    checked = check_store(home, progress=lambda _, done, total: seen.append(done))
    assert checked == Checked(1, entry.size_bytes, ())
    assert seen[-1] == entry.size_bytes


@pytest.mark.claim("STO-01")
def test_one_flipped_bit_is_found_and_set_aside(home: Home, pull: Pull, model_file: Path) -> None:
    entry = pull(model_file, name="one")
    pull(model_file, name="two")
    blob = home.blob(entry.digest)
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    rewrite(blob, bytes(data))
    (trouble,) = check_store(home).troubles
    assert (trouble.kind, trouble.where, trouble.models) == ("rotten", entry.digest, ("one", "two"))
    assert not blob.exists()
    assert names(home) == set()
    assert not home.trust_mark(entry.digest).exists()
    place = home.root / trouble.moved_to
    assert place.read_bytes() == bytes(data)
    receipts = sorted(place.parent.glob("*.json"))
    assert [json.loads(json.loads(p.read_text())["receipt"])["name"] for p in receipts] == [
        "one", "two",
    ]  # fmt: skip
    assert check_store(home).troubles == ()
    assert pull(model_file, name="one").digest == entry.digest
    assert check_store(home).troubles == ()


@pytest.mark.claim("STO-01")
def test_each_other_harm_is_told(home: Home, pull: Pull, model_file: Path, tmp_path: Path) -> None:
    entry = pull(model_file)
    blob = home.blob(entry.digest)
    sound = blob.read_bytes()

    blob.chmod(0o644)
    assert kinds(check_store(home)) == {"mode"}
    blob.chmod(0o444)
    os.link(blob, tmp_path / "other")
    assert kinds(check_store(home)) == {"links"}
    (tmp_path / "other").unlink()
    (home.blobs / "readme").write_text("x")
    (home.blobs / ".new-1").write_text("x")
    assert kinds(check_store(home)) == {"not_a_blob", "half_written"}
    (home.blobs / ("0" * 64)).mkdir()
    assert kinds(check_store(home)) == {"not_a_blob", "half_written"}
    shutil.copyfile(other_file(tmp_path / "o", 1), home.blobs / ("1" * 64))
    assert kinds(check_store(home)) >= {"orphan", "rotten"}
    collect_garbage(home)
    assert check_store(home).troubles == ()
    home.trust_mark(entry.digest).chmod(0o600)
    home.trust_mark(entry.digest).write_text("trusted")
    assert kinds(check_store(home)) == {"trust_mark"}
    collect_garbage(home)
    (home.quarantine / "blobs").mkdir(exist_ok=True)
    (home.quarantine / "blobs" / ".new-2").write_text("x")
    assert kinds(check_store(home)) == {"half_written"}
    collect_garbage(home)
    blob.unlink()
    assert kinds(check_store(home)) == {"missing"}
    blob.symlink_to(other_file(tmp_path / "o", 2))
    assert kinds(check_store(home)) == {"unreadable"}
    blob.unlink()
    blob.write_bytes(sound)
    blob.chmod(0o444)
    assert check_store(home).troubles == ()


@pytest.mark.claim("STO-01")
@pytest.mark.usefixtures("needs_root")
def test_a_blob_of_somebody_else_is_told(home: Home, pull: Pull, model_file: Path) -> None:
    os.chown(home.blob(pull(model_file).digest), 65534, 65534)
    assert kinds(check_store(home)) == {"owner"}


@pytest.mark.claim("STO-01")
def test_a_receipt_that_does_not_verify_is_told(home: Home, pull: Pull, model_file: Path) -> None:
    pull(model_file)
    with sqlite3.connect(home.database) as database:
        database.execute("UPDATE models SET receipt = replace(receipt, 'untrusted', 'trusted')")
    database.close()
    assert "receipt" in kinds(check_store(home))


def test_a_replaced_blob_is_not_set_aside(home: Home, pull: Pull, model_file: Path) -> None:
    entry = pull(model_file)
    blob = home.blob(entry.digest)
    sound = blob.read_bytes()
    rewrite(blob, b"x" * len(sound))

    def repaired(stage: str, done: int, total: int) -> None:
        blob.unlink(missing_ok=True)
        blob.write_bytes(sound)
        blob.chmod(0o444)

    assert check_store(home, progress=repaired).troubles == ()
    assert blob.read_bytes() == sound


@pytest.mark.claim("STO-01")
def test_the_command(home: Home, pull: Pull, model_file: Path) -> None:
    entry = pull(model_file)
    done = run_fsck(home, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["blobs"], document["troubles"]) == (1, [])
    rewrite(home.blob(entry.digest), b"rotten")
    (home.blobs / "stray\x1b[31m").write_text("x")
    done = run_fsck(home, "--gc")
    assert done.returncode == 1
    assert "rotten" in done.stdout
    assert "\x1b[31m" not in done.stdout + done.stderr
    home.database.write_bytes(b"no database")
    assert run_fsck(home).returncode == 2


COLLECT = """
import sys
from pathlib import Path
from corral.admission.fsck import check_store
from corral.admission.quarantine import collect_garbage
from corral.core.home import Home
home = Home(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    collect_garbage(home)
    check_store(home)
"""


@pytest.mark.claim("STO-02")
def test_collecting_beside_pulls_loses_nothing_wherever_it_is_killed(
    home: Home, pull: Pull, tmp_path: Path
) -> None:
    wanted: set[str] = set()
    for number in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", COLLECT, str(home.root)], stdout=subprocess.PIPE
        ) as collector:
            assert collector.stdout
            collector.stdout.readline()
            (home.blobs / f"{number:064x}").write_bytes(b"nobody's")
            entry = pull(other_file(tmp_path / "m.gguf", number), name=f"m{number}")
            wanted.add(entry.digest)
            time.sleep(0.007 * (number % 5))
            collector.send_signal(signal.SIGKILL)
        assert home.blob(entry.digest).is_file()
    collect_garbage(home)
    assert {path.name for path in home.blobs.iterdir()} == wanted
    assert names(home) == {f"m{number}" for number in range(6)}
    assert check_store(home).troubles == ()


@pytest.mark.claim("STO-02")
def test_nothing_is_collected_where_nobody_knows_what_is_used(
    home: Home, pull: Pull, model_file: Path
) -> None:
    entry = pull(model_file)
    home.database.write_bytes(b"no database")
    with pytest.raises(Exception, match="database"):
        collect_garbage(home)
    assert home.blob(Digest(entry.digest)).is_file()
