"""`corral backup` and `corral restore` as a person uses them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyrage.x25519 import Identity

from corral.core.home import Home
from tests.support.admitted_row import make_receipt, put_receipt
from tests.support.command_line import Corral

SECRET = "five random words of mine"


def test_there_and_back(corral: Corral, home: Home, tmp_path: Path) -> None:
    word, file, new = tmp_path / "word", tmp_path / "file", tmp_path / "new"
    word.write_text(f"{SECRET}\n")
    place = ("--home", str(home.root))
    assert corral("audit", "verify", *place).code == 0
    put_receipt(home, make_receipt(name="kept"))
    made = corral("backup", str(file), "--passphrase-file", str(word), "--json", *place)
    assert (made.code, made.document["models"]) == (0, False)
    assert made.document["bytes"] == file.stat().st_size
    again = corral("backup", str(file), "--passphrase-file", str(word), "--json", *place)
    assert again.error_code == "backup_exists"
    there = ("--home", str(new))
    back = corral("restore", str(file), "--passphrase-file", str(word), *there)
    assert back.code == 0
    assert "corral fsck names those" in back.err
    assert corral("list", "--json", *there).document[0]["name"] == "kept"
    checked = corral("fsck", "--json", *there)
    assert [one["kind"] for one in checked.document["troubles"]] == ["missing"]
    # Both chains go on, and say what was done.
    for folder in (place, there):
        found = corral("audit", "verify", "--json", *folder).document["discrepancies"]
        assert [one["kind"] for one in found] == ["blob_missing"]
    shown = corral("audit", "tail", "--json", *there).out
    assert shown.count("installation:restore") == 2
    assert "installation:backup" in shown
    assert not {SECRET, str(file), str(word)} & set(shown.split('"'))
    again = corral("restore", str(file), "--passphrase-file", str(word), "--json", *there)
    assert again.error_code == "restore_home_exists"
    over = corral(
        "restore", str(file), "--passphrase-file", str(word), "--replace", "--json", *there
    )
    aside = Path(over.document["aside"])
    assert aside.name.startswith("new.before-restore-")
    assert corral("audit", "verify", *there).code == 1
    assert "installation:restore" in corral("audit", "tail", "--json", "--home", str(aside)).out


def test_age_keys(corral: Corral, home: Home, tmp_path: Path) -> None:
    identity = Identity.generate()
    keys, file, place = tmp_path / "key.txt", tmp_path / "file", ("--home", str(home.root))
    keys.write_text(f"# created: today\n# public key: {identity.to_public()}\n{identity}\n")
    made = corral("backup", str(file), "--recipient", str(identity.to_public()), *place)
    assert made.code == 0
    there = ("--home", str(tmp_path / "new"))
    assert corral("restore", str(file), "--identity-file", str(keys), *there).code == 0
    assert corral("key", "list", *there).code == 0


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), "passphrase_missing"),
        (("--passphrase-file", "short"), "bad_passphrase"),
        (("--passphrase-file", "empty"), "bad_passphrase"),
        (("--passphrase-file", "large"), "bad_passphrase"),
        (("--passphrase-file", "absent"), "secret_file_unreadable"),
        (("--recipient", "age1x"), "bad_recipient"),
        (("--passphrase-file", "short", "--recipient", "age1x"), "bad_passphrase"),
    ],
    ids=["none", "short", "empty", "large", "absent", "recipient", "both"],
)
def test_keys_that_are_none(
    corral: Corral, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...], code: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short").write_text("eleven char\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "large").write_text("x" * 70000)
    ended = corral("backup", "file", *options, "--json", "--home", str(home.root))
    assert (ended.code, ended.error_code) == (1, code)
    assert sorted(os.listdir(tmp_path)) == ["empty", "home", "large", "short"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--identity-file", "none"), "bad_identity"),
        (("--identity-file", "none", "--passphrase-file", "none"), "bad_passphrase"),
        (("--passphrase-file", "none"), "backup_unreadable"),
    ],
    ids=["identity", "both", "file"],
)
def test_openers_that_are_none(
    corral: Corral, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...], code: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").write_text("AGE-SECRET-KEY-1 nothing")
    ended = corral("restore", "absent", *options, "--json", "--home", str(tmp_path / "new"))
    assert (ended.code, ended.error_code) == (1, code)
    assert os.listdir(tmp_path) == ["none"]


def test_the_terminal_is_asked(
    corral: Corral, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, file = ("--home", str(home.root)), tmp_path / "file"
    said = iter([SECRET, "another", SECRET, SECRET, SECRET])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda _: next(said))
    assert corral("backup", str(file), "--json", *place).error_code == "bad_passphrase"
    assert corral("backup", str(file), *place).code == 0
    assert corral("restore", str(file), "--home", str(tmp_path / "new")).code == 0
