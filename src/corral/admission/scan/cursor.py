"""Bounded little-endian reading of a descriptor, by position, never past a limit.

Trust: scan jail. Input: untrusted file; a read that would pass the end or the metadata limit
raises `ScanRefusal`. The file is mapped, so that what is not read costs nothing; it is a private
copy, which nobody shortens meanwhile.
"""

from __future__ import annotations

import mmap
import os
import struct
from array import array
from typing import Final

import numpy as np
from numpy.typing import NDArray

from corral.core.limits import GGUF_METADATA_BYTES

_USUAL_BYTES: Final = 40
"""No usual vocabulary has more for each of its strings, the length included."""
_SHORT: Final = 256
_PIECE_BYTES: Final = 1 << 20
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")


class ScanRefusal(Exception):  # noqa: N818  a verdict on the file, not a fault of ours
    """The file breaks a rule, and nothing after this place can be trusted.

    Attributes:
        code: finding code.
        message: fixed text, nothing of the file in it.
        where: name in the file, not yet escaped.
        place: offset and length in bytes of what is wrong; None if only its name tells.
    """

    def __init__(
        self,
        code: str,
        message: str,
        where: bytes = b"",
        *,
        place: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.where = where
        self.place = place


def words_at(raw: bytes | NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the little-endian 64-bit number that begins at each byte, without a copy."""
    return np.ndarray((max(0, len(raw) - 7),), "<u8", raw, strides=(1,))


class Cursor:
    """Reads forward from the start of a file.

    Attributes:
        offset: next byte to read.
        size_bytes: size of the file.
        item: where the number, pair or description begins that is being read.
    """

    def __init__(self, fd: int) -> None:
        self.offset = self.item = 0
        self.size_bytes = os.fstat(fd).st_size
        mapped = min(self.size_bytes, GGUF_METADATA_BYTES)
        self._data: mmap.mmap | bytes = (
            mmap.mmap(fd, mapped, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) if mapped else b""
        )

    @property
    def left_bytes(self) -> int:
        """Bytes from here to the end of the file."""
        return self.size_bytes - self.offset

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes.

        Raises:
            ScanRefusal: codes `truncated`, `metadata_size`.
        """
        start, end = self.offset, self.offset + count
        self._check(end)
        self.offset = end
        return self._data[start:end]

    def u32(self) -> int:
        """Return the next 32-bit unsigned integer."""
        value: int = _U32.unpack(self.take(4))[0]
        return value

    def u64(self) -> int:
        """Return the next 64-bit unsigned integer."""
        value: int = _U64.unpack(self.take(8))[0]
        return value

    def strings(self, count: int, longest: int) -> tuple[bytes, array[int]]:
        """Pass over `count` strings, each behind its length.

        Returns:
            The bytes with the lengths among them, and where in them each string begins; after the
            last one stands where a further one would begin.

        Raises:
            ScanRefusal: codes `truncated`, `metadata_size`, `string_length`.
        """
        begin = self.offset
        starts = self._short_strings(count, longest) or self._any_strings(count, longest)
        self.offset = begin + starts[-1] - 8
        return self._data[begin : self.offset], starts

    def _short_strings(self, count: int, longest: int) -> array[int] | None:
        """Pass over strings of less than 256 bytes, many times as fast; None if that cannot be.

        Wherever eight bytes make a number under 256, a string may begin. Mostly these are just the
        beginnings, and that each is where the one before it ends, is seen for all of them at once.
        """
        raw = self._data[self.offset : self.offset + count * _USUAL_BYTES]
        words, noted, at = words_at(raw), array("I"), 0
        for first in range(0, len(words), _PIECE_BYTES):
            if len(noted) == count:
                break
            piece = words[first : first + _PIECE_BYTES]
            begins = np.flatnonzero(piece < _SHORT)[: count - len(noted)]
            lengths = piece[begins].astype(np.int64)
            ends = begins + lengths + (first + 8)
            if not np.array_equal(begins[1:] + first, ends[:-1]):
                return None
            if len(begins):
                if begins[0] + first != at or lengths.max() > longest:
                    return None
                at = int(ends[-1])
                noted.frombytes((begins + (first + 8)).astype(np.uint32).tobytes())
        if len(noted) < count or at > len(raw):
            return None
        noted.append(at + 8)
        return noted

    def _any_strings(self, count: int, longest: int) -> array[int]:
        begin = at = self.offset
        end = min(self.size_bytes, GGUF_METADATA_BYTES) - 8
        starts = array("I")
        note, unpack, data = starts.append, _U64.unpack_from, self._data
        for _ in range(count):
            if at > end:
                self._check(at + 8)
            length: int = unpack(data, at)[0]
            if length > longest:
                raise ScanRefusal("string_length", "a string is too long")
            note(at + 8 - begin)
            at += 8 + length
        self._check(at)
        note(at + 8 - begin)
        return starts

    def _check(self, end: int) -> None:
        if end > self.size_bytes:
            raise ScanRefusal("truncated", "the file ends inside its metadata")
        if end > GGUF_METADATA_BYTES:
            raise ScanRefusal("metadata_size", "the metadata is over its limit")
