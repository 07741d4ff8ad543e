"""A secret under a passphrase opens with it, unchanged, or not at all."""

from __future__ import annotations

import pytest

from corral.pki.passphrase import COST, OVERHEAD, Passphrase, unwrap_secret, wrap_secret

MAGIC = b"some magic\n"
SECRET = bytes(range(32))
WORDS = Passphrase(b"five random words of mine", cost=10)


def test_it_opens_and_says_nothing_of_itself() -> None:
    locked = wrap_secret(MAGIC, SECRET, WORDS)
    assert unwrap_secret(MAGIC, locked, WORDS) == SECRET
    assert unwrap_secret(MAGIC, locked, Passphrase(WORDS.secret)) == SECRET, (
        "the file says its cost"
    )
    assert len(locked) == len(MAGIC) + OVERHEAD + len(SECRET)
    assert SECRET not in locked
    assert locked != wrap_secret(MAGIC, SECRET, WORDS), "no two are alike"
    assert repr(WORDS) == "Passphrase(…)"


def test_the_cost_is_fixed_and_not_that_of_a_busy_moment() -> None:
    assert Passphrase(b"x").cost == COST == 17
    assert wrap_secret(MAGIC, SECRET, Passphrase(b"x" * 12))[len(MAGIC)] == 17


@pytest.mark.claim("REST-11")
def test_any_other_passphrase_or_byte_opens_nothing() -> None:
    locked = wrap_secret(MAGIC, SECRET, WORDS)
    for other in (b"", b"five random words of min", WORDS.secret + b"\n", WORDS.secret.upper()):
        assert unwrap_secret(MAGIC, locked, Passphrase(other)) is None
    for place in range(len(locked)):
        changed = locked[:place] + bytes([locked[place] ^ 1]) + locked[place + 1 :]
        if place < len(MAGIC):
            with pytest.raises(ValueError, match="not locked"):
                unwrap_secret(MAGIC, changed, WORDS)
        else:  # the cost too is bound: 11 in place of 10
            assert unwrap_secret(MAGIC, changed, WORDS) is None, place
    assert unwrap_secret(MAGIC, locked + b"x", WORDS) is None
    # The control: what nobody touched opens.
    assert unwrap_secret(MAGIC, locked, WORDS) == SECRET


@pytest.mark.parametrize("cost", [0, 9, 21, 63, 255])
def test_a_file_does_not_choose_what_opening_it_costs(cost: int) -> None:
    locked = wrap_secret(MAGIC, SECRET, WORDS)
    asked = locked[: len(MAGIC)] + bytes([cost]) + locked[len(MAGIC) + 1 :]
    with pytest.raises(ValueError, match="cost"):
        unwrap_secret(MAGIC, asked, WORDS)


def test_other_files_are_none() -> None:
    locked = wrap_secret(MAGIC, SECRET, WORDS)
    for size in (0, 1, len(MAGIC), len(MAGIC) + OVERHEAD - 1):
        with pytest.raises(ValueError, match="not locked"):
            unwrap_secret(MAGIC, locked[:size], WORDS)
    with pytest.raises(ValueError, match="not locked"):
        unwrap_secret(b"other magic\n", locked, WORDS)
