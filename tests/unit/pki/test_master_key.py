"""What the master key's file may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.master_key import (
    LOCKED_MAGIC,
    ensure_master_key,
    is_locked,
    load_master_key,
    master_key_file,
    read_master_key,
)
from corral.pki.master_key_lock import lock_key
from corral.pki.passphrase import Passphrase
from tests.support.backups import code_of

KEY = bytes(range(32))
LOCKED = lock_key(KEY, Passphrase(b"five random words of mine", cost=10))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path)
    place.secrets.mkdir()
    return place


def test_it_is_made_once_and_closed_to_others(home: Home) -> None:
    ensure_master_key(home)
    key = load_master_key(home)
    ensure_master_key(home)
    assert load_master_key(home) == key != bytes(32)
    assert master_key_file(home).stat().st_mode & 0o777 == 0o600


def test_a_locked_key_is_left_alone_and_is_no_plain_one(home: Home) -> None:
    master_key_file(home).write_bytes(LOCKED)
    ensure_master_key(home)
    assert read_master_key(home) == LOCKED
    assert code_of(lambda: load_master_key(home)) == "master_key_locked"


@pytest.mark.claim("REST-12")
def test_what_an_interrupted_unlock_left_is_gone_at_the_next_start(home: Home) -> None:
    master_key_file(home).write_bytes(LOCKED)
    left = home.secrets / ".master.key.new"
    left.write_bytes(KEY)  # the plain key, and the crash came before its new name
    assert KEY in {path.read_bytes() for path in home.secrets.iterdir()}
    ensure_master_key(home)
    assert [path.name for path in home.secrets.iterdir()] == ["master.key"]


@pytest.mark.parametrize(
    "content", [b"", KEY[:31], KEY + b"\n", b"x" * 93, b"y" * 5000], ids=len
)  # fmt: skip
def test_anything_else_is_no_key(home: Home, content: bytes) -> None:
    master_key_file(home).write_bytes(content)
    for call in (ensure_master_key, read_master_key, load_master_key):
        assert code_of(lambda call=call: call(home)) == "master_key_unreadable"  # type: ignore[misc]


def test_a_plain_key_may_begin_like_a_locked_one(home: Home) -> None:
    key = LOCKED_MAGIC + bytes(16)
    master_key_file(home).write_bytes(key)
    assert not is_locked(key)
    assert load_master_key(home) == key


def test_no_file_is_an_error_of_its_own(home: Home) -> None:
    with pytest.raises(CorralError, match="master_key_unreadable"):
        read_master_key(home)
