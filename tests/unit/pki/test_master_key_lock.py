"""The master key under a passphrase."""

from __future__ import annotations

import pytest

from corral.pki import master_key_lock
from corral.pki.master_key import LOCKED_MAGIC, is_locked
from corral.pki.master_key_lock import lock_key, open_key
from corral.pki.passphrase import Passphrase, wrap_secret
from tests.support.backups import code_of

KEY = bytes(range(32))
WORDS = Passphrase(b"five random words of mine", cost=10)


def test_there_and_back() -> None:
    locked = lock_key(KEY, WORDS)
    assert is_locked(locked)
    assert not is_locked(KEY)
    assert open_key(locked, WORDS) == KEY


def test_what_is_no_locked_key_does_not_open() -> None:
    assert code_of(lambda: open_key(KEY, WORDS)) == "master_key_not_locked"
    assert code_of(lambda: open_key(LOCKED_MAGIC, WORDS)) == "master_key_unreadable"
    short = wrap_secret(LOCKED_MAGIC, KEY[:31], WORDS)
    assert code_of(lambda: open_key(short, WORDS)) == "master_key_unreadable"
    assert code_of(lambda: open_key(lock_key(KEY, WORDS), Passphrase(b"x"))) == "passphrase_wrong"
    assert code_of(lambda: lock_key(b"short", WORDS)) == "master_key_unreadable"


def test_a_lock_that_does_not_open_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    other = wrap_secret(LOCKED_MAGIC, bytes(32), WORDS)
    monkeypatch.setattr(master_key_lock, "wrap_secret", lambda *_: other)
    assert code_of(lambda: lock_key(KEY, WORDS)) == "master_key_unreadable"
