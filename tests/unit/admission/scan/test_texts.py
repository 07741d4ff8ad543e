"""Lists of strings as bytes say the same as lists of Python strings."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
