"""`corral master-key` as a person uses it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from corral.core.home import Home
from corral.pki.master_key import load_master_key, master_key_file, read_master_key
from corral.tenancy.setup import initialise
from tests.support.command_line import Corral

OLD, NEW = "five random words of mine", "five other words of mine"


@pytest.fixture
def place(home: Home, tmp_path: Path) -> tuple[str, ...]:
    """Options; files with both passphrases are beside the state folder."""
    (tmp_path / "old").write_text(f"{OLD}\n")
    (tmp_path / "new").write_text(f"{NEW}\r\n")
    return ("--json", "--home", str(home.root))


@pytest.mark.claim("REST-11")
def test_lock_change_unlock(
    corral: Corral, home: Home, tmp_path: Path, place: tuple[str, ...]
) -> None:
    key = load_master_key(home)
    old, new = (("--passphrase-file", str(tmp_path / name)) for name in ("old", "new"))
    assert corral("master-key", "status", *place).document == {"locked": False}
    assert key in master_key_file(home).read_bytes()  # the control: it was to be had
    assert corral("master-key", "lock", *old, *place).document == {"master_key": "locked"}
    assert corral("master-key", "status", *place).document == {"locked": True}
    for path in home.root.rglob("*"):
        assert path.is_dir() or key not in path.read_bytes(), path
    assert master_key_file(home).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.secrets.iterdir() if path.name.startswith(".")] == []

    locked = read_master_key(home)
    assert corral("master-key", "lock", *old, *place).error_code == "master_key_is_locked"
    assert corral("master-key", "unlock", *new, *place).error_code == "passphrase_wrong"
    wrong = corral("master-key", "change", *new, "--new-passphrase-file", old[1], *place)
    assert wrong.error_code == "passphrase_wrong"
    assert read_master_key(home) == locked

    changed = corral("master-key", "change", *old, "--new-passphrase-file", new[1], *place)
    assert changed.document == {"master_key": "changed"}
    assert corral("master-key", "unlock", *old, *place).error_code == "passphrase_wrong"
    assert corral("master-key", "unlock", *new, *place).document == {"master_key": "unlocked"}
    assert load_master_key(home) == key
    for verb in ("unlock", "change"):
        assert corral("master-key", verb, *new, *place).error_code == "master_key_not_locked"

    # All of it is in the operator's chain, and of the passphrases nothing.
    records = corral("audit", "tail", *place).out
    for action in ("lock", "change", "unlock"):
        assert f"master_key:{action}" in records
    assert not any(word in records for word in (OLD, NEW, str(tmp_path / "old")))
    assert corral("audit", "verify", *place).code == 0


def test_other_commands_work_with_a_locked_key(
    corral: Corral, home: Home, tmp_path: Path, place: tuple[str, ...]
) -> None:
    word = ("--passphrase-file", str(tmp_path / "old"))
    assert corral("master-key", "lock", *word, *place).code == 0
    locked = read_master_key(home)
    initialise(home)
    for command in (
        ("config", "show"), ("tenant", "add", "acme"), ("key", "list"), ("audit", "verify"),
        ("tenant", "wipe", "acme", "--yes"), ("tenant", "remove", "acme"), ("fsck",),
        ("usage",), ("master-key", "status"),
    ):  # fmt: skip
        done = corral(*command, *place)
        assert done.code == 0, done.err
    assert read_master_key(home) == locked


def test_a_backup_holds_the_locked_key(
    corral: Corral, home: Home, tmp_path: Path, place: tuple[str, ...]
) -> None:
    word = ("--passphrase-file", str(tmp_path / "old"))
    key = load_master_key(home)
    assert corral("master-key", "lock", *word, *place).code == 0
    file, new = str(tmp_path / "file"), Home(tmp_path / "restored")
    there = ("--home", str(new.root))
    other = ("--passphrase-file", str(tmp_path / "new"))
    assert corral("backup", file, *other, *place).code == 0
    assert corral("restore", file, *other, *there).code == 0
    assert corral("master-key", "status", "--json", *there).document == {"locked": True}
    assert corral("up", "--print-json", *there).error_code == "master_key_locked"
    refused = corral("up", "--print-json", *other, *there)
    assert refused.error_code == "passphrase_wrong", "that of the backup is another one"
    assert corral("master-key", "unlock", *word, *there).code == 0
    assert load_master_key(new) == key


def test_standard_input_and_the_terminal(
    corral: Corral, home: Home, place: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert corral("master-key", "lock", *place).error_code == "passphrase_missing"
    said = iter([OLD, NEW, OLD, OLD, OLD, NEW, NEW])
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda text: asked.append(text) or next(said))
    assert corral("master-key", "lock", *place).error_code == "bad_passphrase"
    assert corral("master-key", "lock", "--home", str(home.root)).code == 0
    done = corral("master-key", "change", "--home", str(home.root))
    assert (done.code, done.err) == (0, "the passphrase of the master key is changed\n")
    assert len(asked) == 7
    assert "locked" in corral("master-key", "status", "--home", str(home.root)).err
    stdin = io.TextIOWrapper(io.BytesIO(f"{NEW}\n".encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert corral("master-key", "unlock", "--passphrase-file", "-", *place).code == 0
    assert "plain file" in corral("master-key", "status", "--home", str(home.root)).err


@pytest.mark.parametrize("content", [b"eleven char\n", b"\n", b"x" * 70000])
def test_a_passphrase_that_is_none_changes_nothing(
    corral: Corral, home: Home, tmp_path: Path, place: tuple[str, ...], content: bytes
) -> None:
    (tmp_path / "bad").write_bytes(content)
    refused = corral("master-key", "lock", "--passphrase-file", str(tmp_path / "bad"), *place)
    assert (refused.code, refused.error_code) == (1, "bad_passphrase")
    assert content.strip()[:11].decode() not in refused.err or not content.strip()
    assert len(load_master_key(home)) == 32


def test_no_installation(corral: Corral, tmp_path: Path) -> None:
    place = ("--json", "--home", str(tmp_path / "none"))
    for verb in ("status", "lock", "unlock", "change"):
        assert corral("master-key", verb, *place).error_code == "not_initialised"
