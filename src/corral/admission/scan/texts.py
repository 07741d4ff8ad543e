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

_PIECE_BYTES: Final = 1 << 20
_PREFIX_BYTES: Final = 8


class Texts(Sequence[str]):
    """Strings of UTF-8.

    Attributes:
        starts: where each begins in the bytes without lengths.
        ends: where each ends.
    """

    __slots__ = ("_raw", "ends", "starts")

    def __init__(self, raw: bytes, starts: array[int]) -> None:
        """Take what `Cursor.strings` returns."""
        begins = np.frombuffer(starts, np.uint32).astype(np.int64)
        lengths = begins[1:] - begins[:-1] - _PREFIX_BYTES
        kept = np.ones(len(raw), bool)
        for back in range(1, _PREFIX_BYTES + 1):
            kept[begins[:-1] - back] = False
        self._raw = np.frombuffer(raw, np.uint8)[kept].tobytes()
        self.ends: NDArray[np.int64] = np.cumsum(lengths)
        self.starts: NDArray[np.int64] = self.ends - lengths

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
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            yield raw[start:end]

    @property
    def lengths(self) -> NDArray[np.int64]:
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

    def first_undecodable(self) -> int | None:
        """Return the number of a string that is not UTF-8, or None."""
        if self._raw.isascii():
            return None
        decoder, at = codecs.getincrementaldecoder("utf-8")(), 0
        try:
            for at in range(0, len(self._raw), _PIECE_BYTES):
                decoder.decode(self._raw[at : at + _PIECE_BYTES])
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return max(0, int(np.searchsorted(self.ends, at, side="right")) - 1)
        # All of them together are sound; a character may still lie across two of them.
        filled = np.flatnonzero(self.lengths)
        inside = (self._bytes()[self.starts[filled]] & 0xC0) == 0x80
        return int(filled[inside][0]) if inside.any() else None

    def first_with_nul(self) -> int | None:
        """Return the number of a string that contains NUL, or None."""
        at = self._raw.find(b"\0")
        return None if at < 0 else int(np.searchsorted(self.ends, at, side="right"))

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
