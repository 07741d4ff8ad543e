"""Bounded little-endian reading of a descriptor, by position, never past a limit.

Trust: scan jail. Input: untrusted file; a read that would pass the end or the metadata limit
raises `ScanRefusal`; memory is one window, whatever lengths the file claims.
"""

from __future__ import annotations

import os
import struct
from typing import Final

from corral.core.limits import GGUF_METADATA_BYTES, MIB

_WINDOW_BYTES: Final = 4 * MIB
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")


class ScanRefusal(Exception):  # noqa: N818  a verdict on the file, not a fault of ours
    """The file breaks a rule, and nothing after this place can be trusted.

    Attributes:
        code: finding code.
        message: fixed text, nothing of the file in it.
        where: name in the file, not yet escaped.
    """

    def __init__(self, code: str, message: str, where: bytes = b"") -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.where = where


class Cursor:
    """Reads forward from the start of a file.

    Attributes:
        offset: next byte to read.
        size_bytes: size of the file.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.offset = 0
        self.size_bytes = os.fstat(fd).st_size
        self._window = b""
        self._start = 0

    @property
    def left_bytes(self) -> int:
        """Bytes from here to the end of the file."""
        return self.size_bytes - self.offset

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes.

        Raises:
            ScanRefusal: codes `truncated`, `metadata_size`.
        """
        end = self.offset + count
        if end > self.size_bytes:
            raise ScanRefusal("truncated", "the file ends inside its metadata")
        if end > GGUF_METADATA_BYTES:
            raise ScanRefusal("metadata_size", "the metadata is over its limit")
        if end > self._start + len(self._window) or self.offset < self._start:
            self._fill(count)
        at = self.offset - self._start
        self.offset = end
        return self._window[at : at + count]

    def u32(self) -> int:
        """Return the next 32-bit unsigned integer."""
        value: int = _U32.unpack(self.take(4))[0]
        return value

    def u64(self) -> int:
        """Return the next 64-bit unsigned integer."""
        value: int = _U64.unpack(self.take(8))[0]
        return value

    def _fill(self, count: int) -> None:
        wanted = max(count, _WINDOW_BYTES)
        parts: list[bytes] = []
        have = 0
        while have < wanted:
            part = os.pread(self._fd, wanted - have, self.offset + have)
            if not part:
                break
            parts.append(part)
            have += len(part)
        if have < count:
            raise ScanRefusal("truncated", "the file ends inside its metadata")
        self._window = b"".join(parts)
        self._start = self.offset
