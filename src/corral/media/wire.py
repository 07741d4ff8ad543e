"""What goes through the pipes of a media jail: a line of JSON and the bytes that it announces.

Trust: media jail, gateway [net] and command line. Input: on the asking side hostile bytes of the
jail: its line is bounded and checked, its bytes are counted, and nothing may follow them.

    asker   {"format": "jpeg", "length": 4711, "pixels_max": ..., "side_max": ..., ...} LF, the file
    jail    {"said": "image", "width": 640, "height": 480, ...} LF, 3 bytes for each pixel
            or {"said": "sound", "samples": 16000, ...} LF, 2 bytes for each sample
            or {"said": "refused", "kind": "media_malformed"} LF

The jail answers with bare numbers, red, green and blue, or samples of 16 bits, and never with a
file: whatever has taken it over can send another picture, and nothing that has to be parsed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from corral.media.formats import IMAGES, Format

FILE_BYTES_MAX: Final = 8 << 20
SIDE_MAX: Final = 2048
SECONDS_MAX: Final = 600
PIXELS_MAX: Final = 25_000_000
SAMPLES_PER_S: Final = 16_000
HEADER_BYTES: Final = 1024

Found = Literal["media_animated", "media_polyglot", "media_metadata"]
"""What a file that was decoded has besides; it is gone from what was made of it."""
Refusal = Literal["media_type", "media_malformed", "media_too_large"]
_Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file to decode.

    Attributes:
        format: what it has to be.
        length: its size in bytes; that many follow.
        pixels_max: of an image as it comes.
        side_max: longest side of what is made of it, in pixels.
        seconds_max: longest sound.
    """

    format: Format
    length: Annotated[int, msgspec.Meta(ge=1, le=FILE_BYTES_MAX)]
    pixels_max: Annotated[int, msgspec.Meta(ge=1, le=PIXELS_MAX)]
    side_max: Annotated[int, msgspec.Meta(ge=1, le=SIDE_MAX)]
    seconds_max: Annotated[int, msgspec.Meta(ge=1, le=SECONDS_MAX)]


class Image(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="said", tag="image"):
    """An image: `width` times `height` pixels follow, row by row from the top, 3 bytes each.

    Attributes:
        was_width, was_height: as its file says, before it was turned and scaled.
        peak_bytes: memory of the jail at its highest, if that is true.
    """

    width: _Size
    height: _Size
    was_width: _Size
    was_height: _Size
    found: Annotated[list[Found], msgspec.Meta(max_length=3)]
    peak_bytes: Annotated[int, msgspec.Meta(ge=0)]


class Sound(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="said", tag="sound"):
    """A sound of one channel: `samples` follow, 16,000 a second, 2 bytes each, low byte first.

    Attributes:
        was_rate, was_channels: as its file says.
        peak_bytes: memory of the jail at its highest, if that is true.
    """

    samples: _Size
    was_rate: _Size
    was_channels: _Size
    found: Annotated[list[Found], msgspec.Meta(max_length=3)]
    peak_bytes: Annotated[int, msgspec.Meta(ge=0)]


class Refused(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="said", tag="refused"
):
    """The file is none that is taken."""

    kind: Refusal


Said = Image | Sound | Refused
_decoder: Final = msgspec.json.Decoder(Said)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a jail made of a file: its line, and the numbers as they came."""

    said: Image | Sound
    numbers: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """What came is no answer: the jail has failed, or is not ours any more."""


Outcome = Decoded | Refused | Broken


def encode_task(task: Task) -> bytes:
    """Return the line that goes before a file."""
    return msgspec.json.encode(task) + b"\n"


class Reading:
    """The answer to one task, piece by piece; no I/O.

    Args:
        task: what was asked for; an answer that does not fit to it is none.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._have = bytearray()
        self._said: Image | Sound | None = None

    def feed(self, piece: bytes) -> Outcome | None:
        """Return the outcome once it is known; an empty piece is the end of what comes."""
        if not piece:
            return Broken()
        self._have += piece
        if self._said is None:
            line, newline, rest = self._have.partition(b"\n")
            if not newline:
                return Broken() if len(line) >= HEADER_BYTES else None
            said = self._parse(bytes(line))
            if said is None or isinstance(said, Refused):
                return said if said is not None and not rest else Broken()
            self._said, self._have = said, rest
        wanted = _numbers_bytes(self._said)
        if len(self._have) < wanted:
            return None
        return Decoded(self._said, bytes(self._have)) if len(self._have) == wanted else Broken()

    def _parse(self, line: bytes) -> Said | None:
        if len(line) > HEADER_BYTES:
            return None
        try:
            said = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        task = self._task
        if isinstance(said, Image):
            fits = task.format in IMAGES and max(said.width, said.height) <= task.side_max
        elif isinstance(said, Sound):
            fits = task.format not in IMAGES and said.samples <= task.seconds_max * SAMPLES_PER_S
        else:
            fits = True
        return said if fits else None


def _numbers_bytes(said: Image | Sound) -> int:
    return 3 * said.width * said.height if isinstance(said, Image) else 2 * said.samples
