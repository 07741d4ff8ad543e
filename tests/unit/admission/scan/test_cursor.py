"""Strings are passed over in one of two ways, and both say the same of any bytes."""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.admission.scan import cursor as module
from corral.admission.scan.cursor import Cursor, ScanRefusal

LONGEST = 600
TEXTS = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.binary(max_size=LONGEST),
        # What looks like lengths, and what makes one look like another.
        st.sampled_from([b"", bytes(7), bytes(8), bytes(40), b"\3" + bytes(7), b"\xff" * 9]),
    ),
    max_size=12,
)


def packed(texts: list[bytes]) -> bytes:
    return b"".join(struct.pack("<Q", len(text)) + text for text in texts)


@contextmanager
def reading(data: bytes) -> Iterator[Cursor]:
    fd = os.memfd_create("strings")
    try:
        os.write(fd, data)
        yield Cursor(fd)
    finally:
        os.close(fd)


def by_both(data: bytes, count: int, longest: int = LONGEST) -> tuple[object, object]:
    """Return what the fast way says (None: not its case), and what the plain way says."""
    with reading(data) as one:
        fast = one._short_strings(count, longest)
    with reading(data) as one:
        try:
            plain: array[int] | str = one._any_strings(count, longest)
        except ScanRefusal as refusal:
            plain = refusal.code
    return fast, plain


@given(texts=TEXTS, behind=st.binary(max_size=30), piece=st.integers(1, 40))
def test_the_fast_way_says_what_the_plain_way_says(
    texts: list[bytes], behind: bytes, piece: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE_BYTES", piece)
        fast, plain = by_both(packed(texts) + behind, len(texts))
    assert fast in (None, plain)


@given(data=st.binary(max_size=200), count=st.integers(0, 9), longest=st.integers(0, 300))
def test_of_any_bytes_too(data: bytes, count: int, longest: int) -> None:
    fast, plain = by_both(data, count, longest)
    assert fast in (None, plain)


@pytest.mark.parametrize("piece", [1, 9, 64, 1 << 20])
def test_a_usual_vocabulary_takes_the_fast_way(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE_BYTES", piece)
    texts = [f"token {number}".encode() for number in range(300)] + [b"x" * 255]
    fast, plain = by_both(packed(texts) + b"what follows", len(texts))
    assert fast == plain


@pytest.mark.parametrize(
    "texts", [[b"a" * 256], [b"a", b""], [b"a" + bytes(8), b"b"], [b"a" * 255] * 3],
    ids=["long", "empty", "zeros", "long on average"],
)  # fmt: skip
def test_others_take_the_plain_way(texts: list[bytes]) -> None:
    fast, plain = by_both(packed(texts), len(texts))
    assert fast is None
    assert isinstance(plain, array)
    with reading(packed(texts)) as one:
        data, starts = one.strings(len(texts), LONGEST)
    read = zip(texts, starts[:-1], strict=True)
    assert [data[at : at + len(text)] for text, at in read] == texts


def test_a_string_over_the_limit_is_refused_by_either_way() -> None:
    for longest in (3, 300):
        with reading(packed([b"a" * (longest + 1), b"b"])) as one:
            with pytest.raises(ScanRefusal) as caught:
                one.strings(2, longest)
            assert caught.value.code == "string_length"
