"""A locked stream opens whole with its key, or not at all."""

from __future__ import annotations

import io
import os

import pytest
from pyrage.x25519 import Identity

from corral.backup.lockbox import MAGIC, Lock, Opener, lock_stream, open_stream
from corral.core.errors import CorralError
from corral.pki.passphrase import Passphrase

SECRET = Passphrase(b"five random words of mine", cost=10)
IDENTITY = Identity.generate()
PLAIN = os.urandom(3 * 65536 + 1000)
CHUNK = 65536 + 16
HEAD = len(MAGIC) + 1 + 16 + 12 + 74 + 16


def locked(lock: Lock, plain: bytes = PLAIN) -> bytes:
    file = io.BytesIO()
    lock_stream([plain[:70000], b"", plain[70000:]], file, lock)
    return file.getvalue()


def opened(data: bytes, opener: Opener) -> bytes:
    plain = io.BytesIO()
    open_stream(io.BytesIO(data), plain, opener)
    return plain.getvalue()


def refused(data: bytes, opener: Opener) -> str:
    with pytest.raises(CorralError) as error:
        opened(data, opener)
    return error.value.code


def payload(data: bytes) -> int:
    """Where the first chunk begins: after age's nonce of 16 bytes."""
    return len(data) - (3 * CHUNK + 1000 + 16)


BOTH = pytest.mark.parametrize(
    ("lock", "opener"),
    [(SECRET, SECRET), ([IDENTITY.to_public()], [IDENTITY])],
    ids=["passphrase", "recipient"],
)


@BOTH
def test_it_opens(lock: Lock, opener: Opener) -> None:
    data = locked(lock)
    assert opened(data, opener) == PLAIN
    assert data != locked(lock), "no two are alike"
    assert PLAIN[:64] not in data
    assert opened(locked(lock, b""), opener) == b""


def test_each_of_several_recipients_opens() -> None:
    other = Identity.generate()
    data = locked([IDENTITY.to_public(), other.to_public()])
    assert opened(data, [other]) == opened(data, [Identity.generate(), IDENTITY]) == PLAIN


@pytest.mark.claim("BAK-01")
@BOTH
def test_cut_off_anywhere_it_does_not_open(lock: Lock, opener: Opener) -> None:
    data = locked(lock)
    first = payload(data)
    assert opened(data, opener) == PLAIN
    places = {
        0, 1, 15, 16, 17, 33, 45, HEAD - 1, HEAD, HEAD + 1, HEAD + 30, first - 17, first - 16,
        first - 1, first, first + 1, first + 65536, len(data) - 1, len(data) - 16,
        *(first + n * CHUNK + d for n in (1, 2, 3) for d in (-1, 0, 1)),
    }  # fmt: skip
    for place in sorted(places):
        assert refused(data[:place], opener).startswith("backup_"), place
    for added in (b"\0", data[-1016:], data[first : first + CHUNK], data):
        assert refused(data + added, opener) == "backup_damaged"


@pytest.mark.claim("BAK-01")
@BOTH
def test_with_any_kind_of_byte_changed_it_does_not_open(lock: Lock, opener: Opener) -> None:
    data = locked(lock)
    first = payload(data)
    # Every byte of all heads and of the nonce; then each end of each chunk and its tag.
    places = [*range(first), *(
        first + n * CHUNK + d for n in range(3) for d in (0, 1, 30000, 65535, 65536, CHUNK - 1)
    ), len(data) - 1000, len(data) - 1, len(data) - 16]  # fmt: skip
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1
        assert refused(bytes(changed), opener).startswith("backup_"), place


@pytest.mark.claim("BAK-01")
@BOTH
def test_with_chunks_moved_it_does_not_open(lock: Lock, opener: Opener) -> None:
    data = locked(lock)
    first = payload(data)
    before, last = data[:first], data[first + 3 * CHUNK :]
    a, b, c = (data[first + n * CHUNK : first + (n + 1) * CHUNK] for n in range(3))
    assert opened(before + a + b + c + last, opener) == PLAIN
    for chunks in ((b, a, c), (a, a, b, c), (a, c), (b, c), (a, b), (a, b, a), (c, b, a), ()):
        assert refused(before + b"".join(chunks) + last, opener) == "backup_damaged"
    other = locked(lock)
    assert refused(other[: payload(other)] + a + b + c + last, opener) == "backup_damaged"


@pytest.mark.claim("BAK-01")
def test_another_key_does_not_open() -> None:
    by_word, by_key = locked(SECRET), locked([IDENTITY.to_public()])
    for wrong in (b"", b"five random words of min", SECRET.secret + b"\n", SECRET.secret.upper()):
        assert refused(by_word, Passphrase(wrong)) == "backup_wrong_key"
    assert refused(by_key, [Identity.generate()]) == "backup_wrong_key"
    assert refused(by_key, SECRET) == refused(by_word, [IDENTITY]) == "backup_unreadable"
    for junk in (b"", b"PK\x03\x04", b"x" * 5000):
        assert refused(junk, SECRET) == "backup_unreadable"
    # Its own stream under another file's wrapped identity, which the same passphrase opens.
    assert refused(locked(SECRET)[:HEAD] + by_word[HEAD:], SECRET) == "backup_damaged"


@pytest.mark.claim("BAK-01")
@pytest.mark.parametrize("cost", [0, 9, 21, 63, 255])
def test_a_hostile_cost_is_refused_before_it_is_paid(cost: int) -> None:
    data = bytearray(locked(SECRET))
    data[len(MAGIC)] = cost
    assert refused(bytes(data), SECRET) == "backup_damaged"


def test_an_error_of_the_source_or_the_file_stays_what_it_is() -> None:
    def broken() -> object:
        yield b"x"
        raise CorralError("backup_changed", "x")

    with pytest.raises(CorralError, match="backup_changed"):
        lock_stream(broken(), io.BytesIO(), [IDENTITY.to_public()])  # type: ignore[arg-type]
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="No space"):
        lock_stream([PLAIN], full, [IDENTITY.to_public()])
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="No space"):
        open_stream(io.BytesIO(locked(SECRET)), full, SECRET)
    assert "random" not in repr(SECRET)
