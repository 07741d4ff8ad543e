"""Where `corral up` takes the passphrase of a locked master key from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from corral.cli.open_master_key import CREDENTIAL, open_master_key
from corral.core.home import Home
from corral.pki.master_key import load_master_key, master_key_file
from corral.pki.master_key_lock import lock_key
from corral.pki.passphrase import Passphrase
from tests.support.backups import code_of
from tests.support.command_line import Corral

WORDS = "five random words of mine"


def opened(home: Home, word: Path | None) -> bytes | None:
    fd = open_master_key(home, word)
    if fd < 0:
        return None
    try:
        return os.pread(fd, 99, 0)
    finally:
        os.close(fd)


@pytest.fixture
def key(home: Home) -> bytes:
    """The key of `home`, which is locked from now on."""
    plain = load_master_key(home)
    master_key_file(home).write_bytes(lock_key(plain, Passphrase(WORDS.encode(), cost=10)))
    return plain


@pytest.fixture
def word(tmp_path: Path) -> Path:
    path = tmp_path / "word"
    path.write_text(f"{WORDS}\n")
    return path


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder / CREDENTIAL


def test_a_file(home: Home, key: bytes, word: Path) -> None:
    assert opened(home, word) == key
    word.write_text("another one of mine")
    assert code_of(lambda: opened(home, word)) == "passphrase_wrong"
    word.write_text("")
    assert code_of(lambda: opened(home, word)) == "bad_passphrase"
    word.unlink()
    assert code_of(lambda: opened(home, word)) == "secret_file_unreadable"


def test_a_credential_of_the_service(home: Home, key: bytes, word: Path, credentials: Path) -> None:
    assert code_of(lambda: opened(home, None)) == "master_key_locked"
    credentials.write_text(WORDS)
    assert opened(home, None) == key
    credentials.write_text("another one of mine")
    assert code_of(lambda: opened(home, None)) == "passphrase_wrong"
    assert opened(home, word) == key, "a file that was named comes first"


def test_the_terminal(home: Home, key: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    # In a child: what is asked shows only by what it is answered with.
    monkeypatch.setattr("getpass.getpass", {"Passphrase of the master key: ": WORDS}.__getitem__)
    assert opened(home, None) == key


def test_a_plain_key_needs_none_and_takes_none(
    home: Home, word: Path, credentials: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert opened(home, None) == load_master_key(home)
    assert capsys.readouterr().err == ""
    credentials.write_text(WORDS)
    assert opened(home, None) == load_master_key(home)
    assert "corral master-key lock" in capsys.readouterr().err
    assert code_of(lambda: opened(home, word)) == "master_key_not_locked"
    assert opened(Home(tmp_path / "absent"), None) is None


@pytest.mark.claim("REST-12")
def test_without_the_passphrase_nothing_is_started(
    corral: Corral, home: Home, key: bytes, word: Path
) -> None:
    before = sorted(home.root.rglob("*"))
    place = ("--home", str(home.root), "--print-json")
    assert corral("up", *place).error_code == "master_key_locked"
    word.write_text("another one of mine")
    refused = corral("up", "--passphrase-file", str(word), *place)
    assert (refused.code, refused.error_code) == (1, "passphrase_wrong")
    assert "another" not in refused.out + refused.err
    assert sorted(home.root.rglob("*")) == before


def test_a_child_that_ends_without_a_word(
    home: Home, key: bytes, word: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        os._exit(1)

    monkeypatch.setattr("getpass.getpass", no_memory)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert code_of(lambda: opened(home, None)) == "master_key_unopened"


SEARCH = """
import os, sys
from pathlib import Path
from corral.cli.open_master_key import open_master_key
from corral.core.home import Home


def found(wanted):
    wanted = bytes(reversed(wanted))  # backwards until now: not found in our own literals
    count = 0
    with open("/proc/self/mem", "rb", 0) as memory:
        for line in open("/proc/self/maps"):
            span, rights = line.split()[:2]
            if rights.startswith("rw"):
                begin, end = (int(one, 16) for one in span.split("-"))
                memory.seek(begin)
                count += memory.read(end - begin).count(wanted)
    return count - 1  # `wanted` itself


print(found(WORDS))
fd = open_master_key(Home(Path(sys.argv[1])), Path(sys.argv[2]))
assert os.fstat(fd).st_size == 32
print(found(WORDS))
kept = Path(sys.argv[2]).read_bytes()
print(found(WORDS) > 0)
"""


@pytest.mark.claim("REST-12")
def test_the_process_that_starts_the_server_never_has_the_passphrase(
    home: Home, key: bytes, word: Path
) -> None:
    program = SEARCH.replace("WORDS", repr(WORDS.encode()[::-1]))
    done = subprocess.run(
        [sys.executable, "-c", program, str(home.root), str(word)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.split() == ["0", "0", "True"]  # the last is the control: read, it is found
