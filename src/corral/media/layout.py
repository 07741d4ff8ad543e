"""What a file has beside its picture or sound, by a walk over its parts.

Trust: media jail. Input: hostile bytes, at most `wire.FILE_BYTES_MAX`; each step goes forward, and
a length that leads out of the file makes it malformed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from corral.media.formats import Format


class MalformedError(Exception):
    """The file is not whole."""


class TooLargeError(Exception):
    """It has more pixels, or lasts longer, than was asked for."""


@dataclass(slots=True)
class Layout:
    """What a walk has seen.

    Attributes:
        end: where the file's own format says that it ends; what is behind belongs to another.
        pictures: how many frames it has.
        metadata: it says more than its picture or sound.
        pixels: of a format whose decoder takes memory for all of them before it tells how many.
    """

    end: int = 0
    pictures: int = 1
    metadata: bool = False
    pixels: int = 0


def read_layout(format_: Format, data: bytes) -> Layout:
    """Walk over a file.

    Raises:
        MalformedError: it is cut off, or a length leads out of it.
    """
    try:
        return _WALKS[format_](data)
    except IndexError as error:  # a byte that is not there
        raise MalformedError from error


_PNG_PICTURE: Final = frozenset({
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD",
    b"pHYs", b"cICP", b"acTL", b"fcTL", b"fdAT",
})  # fmt: skip


def _png(data: bytes) -> Layout:
    seen = Layout()
    at = 8
    while True:
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        at += 12 + length
        if len(kind) < 4 or at > len(data):
            raise MalformedError
        seen.metadata |= kind not in _PNG_PICTURE
        seen.pictures += kind == b"fdAT"
        if kind == b"IEND":
            seen.end = at
            return seen


_SCANS_MAX: Final = 100
"""A progressive JPEG has about ten; each costs a walk over the whole picture."""
_JPEG_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _jpeg(data: bytes) -> Layout:
    seen = Layout()
    at, scans = 2, 0
    while found := _JPEG_MARKER.search(data, at):
        marker, at = data[found.start() + 1], found.end()
        if marker == 0xD9:
            seen.end = at
            return seen
        length = int.from_bytes(data[at : at + 2])
        body = data[at + 2 : at + length]
        at += length
        scans += marker == 0xDA
        if length < 2 or at > len(data) or scans > _SCANS_MAX:
            raise MalformedError
        jfif, adobe = body.startswith(b"JFIF\0"), body.startswith(b"Adobe")
        said = 0xE0 <= marker <= 0xEF or marker == 0xFE
        seen.metadata |= said and not (marker == 0xE0 and jfif) and not (marker == 0xEE and adobe)
    raise MalformedError


def _gif(data: bytes) -> Layout:
    seen = Layout(pictures=0)
    at = 13 + _colours(data[10])
    while True:
        kind = data[at]
        if kind == 0x3B:
            seen.end = at + 1
            return seen
        if kind == 0x2C:
            seen.pictures += 1
            at = _blocks_end(data, at + 11 + _colours(data[at + 9]))
        elif kind == 0x21:
            label, name = data[at + 1], data[at + 3 : at + 14]
            loops = label == 0xFF and name in {b"NETSCAPE2.0", b"ANIMEXTS1.0"}
            seen.metadata |= label != 0xF9 and not loops
            at = _blocks_end(data, at + 2)
        else:
            raise MalformedError


def _colours(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks_end(data: bytes, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1


def _riff(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield kind and start of each chunk, and where the file ends."""
    end = 8 + int.from_bytes(data[4:8], "little")
    at = 12
    if end > len(data):
        raise MalformedError
    while at < end:
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > end:
            raise MalformedError
        yield kind, data[at + 8 : at + 24], end
        at += 8 + length + length % 2


def _webp(data: bytes) -> Layout:
    seen = Layout(pictures=0)
    for kind, start, seen.end in _riff(data):
        seen.pixels = max(seen.pixels, _webp_pixels(kind, start))
        seen.pictures += kind in {b"ANMF", b"VP8 ", b"VP8L"}
        seen.metadata |= kind not in {b"ANMF", b"ANIM", b"VP8 ", b"VP8L", b"VP8X", b"ALPH"}
    return seen


def _webp_pixels(kind: bytes, start: bytes) -> int:
    """Return the size that a chunk says; RFC 9649, 2.5 to 2.7, and RFC 6386, 9.1."""
    if kind == b"VP8X":
        width, height = (int.from_bytes(start[at : at + 3], "little") + 1 for at in (4, 7))
    elif kind == b"VP8L":
        bits = int.from_bytes(start[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (int.from_bytes(start[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    else:
        return 0
    return width * height


def _wav(data: bytes) -> Layout:
    seen = Layout()
    for kind, _, seen.end in _riff(data):
        seen.metadata |= kind not in {b"fmt ", b"fact", b"PEAK", b"data"}
    return seen


def _flac(data: bytes) -> Layout:
    seen = Layout(end=len(data))
    at, last = 4, False
    while not last:
        kind, length = data[at] & 0x7F, int.from_bytes(data[at + 1 : at + 4])
        last = bool(data[at] & 0x80)
        body = data[at + 4 : at + 4 + length]
        at += 4 + length
        if at > len(data):
            raise MalformedError
        seen.metadata |= kind not in {0, 1, 3, 4} or (kind == 4 and _has_comments(body))
    return seen


_COMMENT_HEADER: Final = re.compile(rb"\x03vorbis|OpusTags")


def _ogg(data: bytes) -> Layout:
    seen = Layout()
    at = 0
    while data[at : at + 4] == b"OggS":
        segments = data[at + 26]
        table = data[at + 27 : at + 27 + segments]
        at += 27 + segments + sum(table)
        if at > len(data):
            raise MalformedError
    seen.end = at
    found = _COMMENT_HEADER.search(data, 0, 1 << 16)
    seen.metadata = found is not None and _has_comments(data[found.end() :])
    return seen


def _has_comments(body: bytes) -> bool:
    """Say whether a Vorbis comment has more than the name of the program that wrote it."""
    at = 4 + int.from_bytes(body[:4], "little")
    return any(body[at : at + 4])


def _mp3(data: bytes) -> Layout:
    tagged = data.startswith(b"ID3") or data[-128:-125] == b"TAG" or b"APETAGEX" in data[-256:]
    return Layout(end=len(data), metadata=tagged)


_WALKS: Final[dict[Format, Callable[[bytes], Layout]]] = {
    "png": _png, "jpeg": _jpeg, "gif": _gif, "webp": _webp, "wav": _wav, "flac": _flac,
    "ogg": _ogg, "mp3": _mp3,
}  # fmt: skip
