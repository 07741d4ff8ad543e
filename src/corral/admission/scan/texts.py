"""A long list of strings, kept as the bytes that it is in the file.

Trust: scan jail. Input: untrusted strings, bounded in number and length. A vocabulary has hundreds
of thousands of them: as Python strings they would need twenty times the memory of the file and most
of the time of a scan, so they are checked together and decoded one by one where one is wanted.
"""

from __future__ import annotations

import codecs
from array import array
from collections.abc import Iterator, Sequence
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from corral.admission.scan.cursor import words_at

_PIECE_BYTES: Final = 1 << 20
_PIECE_ITEMS: Final = 4096
_HASHED_ITEMS: Final = 16384
_PREFIX_BYTES: Final = 8
_MARKS: Final = np.uint64(0x0101010101010101)
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_FOLD: Final = np.uint64(29)
_LOW_BYTES: Final = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
"""For a count of bytes: those of a word."""


class Texts(Sequence[str]):
    """Strings of UTF-8.

    Attributes:
        starts: where each begins in the bytes.
        ends: where each ends.
    """

    __slots__ = ("_raw", "ends", "starts")

    def __init__(self, raw: bytes, starts: array[int]) -> None:
        """Take what `Cursor.strings` returns."""
        # Metadata have a limit far below 2^31 bytes; a million strings at 16 bytes each would show.
        begins = np.frombuffer(starts, np.int32)
        self.starts: NDArray[np.int32] = begins[:-1]
        self.ends: NDArray[np.int32] = begins[1:] - _PREFIX_BYTES
        # With a mark in place of each length, all strings can be looked at as one.
        marked = np.frombuffer(raw, np.uint8).copy()
        words_at(marked)[self.starts - _PREFIX_BYTES] = _MARKS
        self._raw = marked.tobytes()

    def __len__(self) -> int:
        """Return the number of strings."""
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        """Return one string, or several."""
        if isinstance(index, slice):
            return [self.raw(one).decode() for one in range(*index.indices(len(self)))]
        return self.raw(index).decode()

    def __iter__(self) -> Iterator[str]:
        """Yield each string."""
        return map(bytes.decode, self.raws())

    def raw(self, index: int) -> bytes:
        """Return the bytes of one string."""
        return self._raw[self.starts[index] : self.ends[index]]

    def raws(self) -> Iterator[bytes]:
        """Yield the bytes of each string."""
        raw = self._raw
        for at in range(0, len(self), _PIECE_ITEMS):
            piece = slice(at, at + _PIECE_ITEMS)
            for start, end in zip(
                self.starts[piece].tolist(), self.ends[piece].tolist(), strict=True
            ):
                yield raw[start:end]

    def all_differ(self) -> bool:
        """Return whether no string is there twice."""
        # Strings that are the same have the same hash, so that hashes that all differ settle it;
        # hashes that a file makes the same cost time, and no more than this took before.
        hashes = self._hashes()
        hashes.sort()
        if not (hashes[1:] == hashes[:-1]).any():
            return True
        raw, seen = self._raw, set[bytes]()
        for at in range(0, len(self), _PIECE_ITEMS):
            piece = slice(at, at + _PIECE_ITEMS)
            starts, ends = self.starts[piece].tolist(), self.ends[piece].tolist()
            seen.update([raw[start:end] for start, end in zip(starts, ends, strict=True)])
        return len(seen) == len(self)

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Bytes of each string."""
        return self.ends - self.starts

    def starting_with(self, first: bytes) -> list[int]:
        """Return the numbers of the strings whose first byte is one of `first`."""
        filled = np.flatnonzero(self.lengths)
        if not len(filled):
            return []
        found = np.isin(self._bytes()[self.starts[filled]], np.frombuffer(first, np.uint8))
        numbers: list[int] = filled[found].tolist()
        return numbers

    def is_utf8(self) -> bool:
        """Return whether every string can be decoded."""
        # Marks are ASCII, so that no character can lie across two strings.
        if self._raw.isascii():
            return True
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for at in range(0, len(self._raw), _PIECE_BYTES):
                decoder.decode(self._raw[at : at + _PIECE_BYTES])
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
        return True

    def _hashes(self) -> NDArray[np.uint64]:
        """Return a number for each string: of its length, and of each eight of its bytes."""
        hashes = self.lengths.astype(np.uint64)
        for at in range(0, len(self), _HASHED_ITEMS):
            self._mix(slice(at, at + _HASHED_ITEMS), hashes)
        return hashes

    def _mix(self, piece: slice, hashes: NDArray[np.uint64]) -> None:
        """Mix a piece's strings into their hashes; in pieces, for the sake of memory."""
        lengths, starts, mine = self.lengths[piece], self.starts[piece], hashes[piece]
        first = int(starts[0])
        words = words_at(self._raw[first : int(self.ends[piece][-1])] + bytes(_PREFIX_BYTES))
        at, numbers = 0, np.flatnonzero(lengths)
        while len(numbers):
            left = lengths[numbers] - at
            word = words[starts[numbers] - first + at]
            word &= _LOW_BYTES[np.minimum(left, _PREFIX_BYTES)]
            mixed = (mine[numbers] ^ word) * _MIX
            mine[numbers] = mixed ^ (mixed >> _FOLD)
            at += _PREFIX_BYTES
            numbers = numbers[left > _PREFIX_BYTES]

    def has_nul(self) -> bool:
        """Return whether a string contains NUL."""
        return b"\0" in self._raw

    def first_without_pair(self) -> int | None:
        """Return the number of a string that is not two texts with a space between, or None.

        As llama.cpp looks for it: from the second byte on.
        """
        spaces = np.flatnonzero(self._bytes() == ord(" "))
        places = np.append(spaces, len(self._raw))[np.searchsorted(spaces, self.starts + 1)]
        wrong = places >= self.ends - 1
        return int(np.flatnonzero(wrong)[0]) if wrong.any() else None

    def _bytes(self) -> NDArray[np.uint8]:
        return np.frombuffer(self._raw, np.uint8)
