"""PNG and WAV files made of bare numbers, so that nothing of a tenant's file is left in them.

Trust: gateway [net] and command line. Input: pixels and samples of a media jail, counted by `wire`:
any number is a colour or a sound. What is written here is all that an engine ever opens: one kind
of PNG (8 bits, RGB, no filter, no interlace; chunks IHDR, IDAT, IEND) and one of WAV (16 bits, one
channel, 16,000 a second; chunks fmt and data).

Sources: PNG third edition (W3C, 2025), sections 5 and 11.2; RFC 2361 and Microsoft's RIFF for WAV.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from corral.media.wire import SAMPLES_PER_S, Decoded, Image

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_LEVEL: Final = 1
"""Of zlib: photographs hardly shrink at any, and drawings do at the first."""


def fresh_file(decoded: Decoded) -> bytes:
    """Return the PNG or WAV of what a jail has decoded."""
    said = decoded.said
    if isinstance(said, Image):
        return png_file(said.width, said.height, decoded.numbers)
    return wav_file(decoded.numbers)


def png_file(width: int, height: int, pixels: bytes) -> bytes:
    """Return a PNG.

    Args:
        width: in pixels.
        height: in pixels.
        pixels: 3 bytes each, row by row from the top.
    """
    row_bytes = 3 * width
    packer = zlib.compressobj(_LEVEL)
    packed = [
        packer.compress(b"\0" + pixels[start : start + row_bytes])
        for start in range(0, row_bytes * height, row_bytes)
    ]
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"".join((*packed, packer.flush()))
    return _SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def wav_file(samples: bytes) -> bytes:
    """Return a WAV of samples of 2 bytes each."""
    head = struct.pack("<HHIIHH", 1, 1, SAMPLES_PER_S, 2 * SAMPLES_PER_S, 2, 16)
    parts = (
        b"WAVEfmt ", struct.pack("<I", len(head)), head, b"data", struct.pack("<I", len(samples)),
        samples,
    )  # fmt: skip
    body = b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
