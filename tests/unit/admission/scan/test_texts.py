"""Lists of strings as bytes say the same as lists of Python strings."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from corral.admission.scan.cursor import Cursor, ScanRefusal
from corral.admission.scan.texts import Texts


def texts(items: list[bytes], longest: int = 1 << 20) -> Texts:
    fd = os.memfd_create("texts")
    try:
        os.write(fd, b"".join(struct.pack("<Q", len(item)) + item for item in items))
        return Texts(*Cursor(fd).strings(len(items), longest))
    finally:
        os.close(fd)


@given(st.lists(st.text(max_size=8) | st.text("a \0", max_size=4), max_size=20))
def test_texts_are_a_sequence_of_what_was_written(items: list[str]) -> None:
    raws = [item.encode("utf-8", "surrogatepass") for item in items]
    found = texts(raws)
    assert list(found.raws()) == raws
    assert len(found) == len(items)
    assert found.lengths.tolist() == [len(raw) for raw in raws]
    assert [found.raw(n) for n in range(len(raws))] == raws
    assert found.starting_with(b"a <") == [
        n for n, r in enumerate(raws) if r[:1] in (b"a", b" ", b"<") and r
    ]
    assert found.all_differ() == (len(set(raws)) == len(raws))
    assert found.has_nul() == any(b"\0" in raw for raw in raws)
    alone = [n for n, raw in enumerate(raws) if not raw[1:].partition(b" ")[2]]
    assert found.first_without_pair() == (alone[0] if alone else None)
    if found.is_utf8():
        assert list(found) == items
        assert found[:3] == items[:3]


@given(st.lists(st.binary(max_size=4) | st.sampled_from([b"\xc3", b"\xa9", b"a"]), max_size=12))
def test_what_is_not_utf8_is_found_even_across_two_strings(items: list[bytes]) -> None:
    def sound(item: bytes) -> bool:
        try:
            item.decode()
        except UnicodeDecodeError:
            return False
        return True

    assert texts(items).is_utf8() == all(map(sound, items))


def test_a_string_that_is_too_long_or_not_there() -> None:
    with pytest.raises(ScanRefusal, match="string_length"):
        texts([b"abc"], longest=2)
    fd = os.memfd_create("short")
    os.write(fd, struct.pack("<Q", 9) + b"abc")
    with pytest.raises(ScanRefusal, match="truncated"):
        Cursor(fd).strings(1, 100)
    with pytest.raises(ScanRefusal, match="truncated"):
        Cursor(fd).strings(9, 100)
    os.close(fd)


@given(
    st.lists(st.integers(0, 40).flatmap(lambda n: st.sampled_from([b"", b"ab", b"\0" * 8]).map(
        lambda end: b"abcdefgh" * (n // 8) + b"a" * (n % 8) + end)), max_size=30,
    )
)  # fmt: skip
def test_strings_that_are_alike_are_told_apart(items: list[bytes]) -> None:
    assert texts(items).all_differ() == (len(set(items)) == len(items))


def test_hashes_that_are_made_the_same_change_nothing() -> None:
    class Same(Texts):
        def _hashes(self) -> NDArray[np.uint64]:
            return np.zeros(len(self), np.uint64)

    fd = os.memfd_create("same")
    raw = b"".join(struct.pack("<Q", 1) + item for item in (b"a", b"b", b"a"))
    os.write(fd, raw)
    assert Same(*Cursor(fd).strings(2, 9)).all_differ()
    assert not Same(*Cursor(fd).strings(3, 9)).all_differ()
    os.close(fd)


def test_a_length_is_looked_at_as_a_whole() -> None:
    fd = os.memfd_create("wide")
    os.write(fd, struct.pack("<Q", 1 << 56 | 1) + b"a" + struct.pack("<Q", 1) + b"b")
    with pytest.raises(ScanRefusal, match="string_length"):
        Cursor(fd).strings(2, 1 << 20)
    os.close(fd)
