"""Files that no honest program writes: mutants of sound ones, by a seed, and bombs."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image

from corral.media.formats import IMAGES, SOUNDS, Format
from tests.support.media_files import gif_of, image_file, picture, png_chunk, sound_file

_EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1")


@dataclass
class Corpus:
    """A stream of hostile files.

    Args:
        seed: of its chance.
    """

    seed: int
    _seeds: list[tuple[Format, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._seeds = list(sound_ones())

    def mutants(self, count: int) -> Iterator[tuple[Format, bytes]]:
        """Yield so many mutants; each says that it is of the format it comes from."""
        for number in range(count):
            format_, data = self._seeds[number % len(self._seeds)]
            yield format_, self._mutated(data)

    def _mutated(self, data: bytes) -> bytes:
        chance = self._chance
        out = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 4, 16))):
            at = chance.randrange(len(out))
            match chance.randrange(8):
                case 0:
                    out[at] ^= 1 << chance.randrange(8)
                case 1:
                    out[at] = chance.choice((0, 1, 127, 128, 254, 255))
                case 2:
                    out[at : at + 4] = chance.choice(_EXTREMES)
                case 3:
                    del out[at : at + chance.randrange(1, 64)]
                case 4:
                    out[at:at] = out[at : at + chance.randrange(1, 64)]
                case 5:
                    out[at:at] = chance.randbytes(chance.randrange(1, 16))
                case 6:
                    _, other = chance.choice(self._seeds)
                    cut = chance.randrange(len(other))
                    out[at : at + 64] = other[cut : cut + 64]
                case _ if chance.random() < 0.2:
                    del out[at:]
                case _:
                    # Headers are small, and half of what can go wrong is there.
                    early = chance.randrange(min(64, len(out)))
                    out[early] = chance.randrange(256)
            if len(out) < 16:
                return bytes(out.ljust(16, b"\0"))
        return bytes(out)


def sound_ones() -> Iterator[tuple[Format, bytes]]:
    """Yield small files of every format in its usual variants."""
    small = picture(24, 16)
    for format_ in IMAGES:
        yield format_, image_file(format_, small)
    yield "jpeg", image_file("jpeg", small, progressive=True, subsampling=0)
    yield "jpeg", image_file("jpeg", small.convert("CMYK"))
    yield "png", image_file("png", small.convert("P"))
    yield "png", image_file("png", small.convert("RGBA"))
    yield "webp", image_file("webp", small, lossless=True)
    yield "webp", image_file("webp", small.convert("RGBA"), save_all=True,
                             append_images=[picture(24, 16)])  # fmt: skip
    yield "gif", gif_of(3)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "jpeg", image_file("jpeg", small, exif=exif)
    for kind in SOUNDS:
        yield kind, sound_file(kind, seconds=0.05, rate=16_000, channels=1)
        yield kind, sound_file(kind, seconds=0.05)


def bombs() -> Iterator[tuple[str, Format, bytes]]:
    """Yield name, format and bytes of small files that say, or hold, very much."""
    zeros = zlib.compress(bytes(64 << 20), 9)
    sizes = {"flat": (65_535, 65_535), "line": (2**31 - 1, 1), "big": (8000, 8000),
             "just": (5000, 4999)}  # fmt: skip
    for name, (width, height) in sizes.items():
        head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        yield f"png {name}", "png", b"\x89PNG\r\n\x1a\n" + b"".join((
            png_chunk(b"IHDR", head), png_chunk(b"IDAT", zeros), png_chunk(b"IEND", b"")
        ))  # fmt: skip
    text = png_chunk(b"zTXt", b"k\0\0" + zeros)
    plain = image_file("png")
    yield "png text", "png", plain[:33] + text * 20 + plain[33:]
    profile = png_chunk(b"iCCP", b"k\0\0" + zeros)
    yield "png profile", "png", plain[:33] + profile + plain[33:]
    yield "png chunks", "png", plain[:33] + png_chunk(b"prVt", b"") * 200_000 + plain[33:]
    gif = bytearray(gif_of(1))
    gif[6:10] = b"\xff\xff\xff\xff"
    yield "gif size", "gif", bytes(gif)
    yield "gif frames", "gif", gif_of(2000)
    yield "gif blocks", "gif", gif_of(1)[:-1] + b"!\xfe" + b"\1x" * 2_000_000 + b"\0;"
    webp = bytearray(image_file("webp", picture(16, 16), lossless=True))
    webp[21:25] = b"\xff\xff\xff\x0f"
    yield "webp size", "webp", bytes(webp)
    jpeg = bytearray(image_file("jpeg", picture(16, 16)))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    yield "jpeg size", "jpeg", bytes(jpeg)
    scans = image_file("jpeg", picture(1500, 1500), progressive=True)
    start = scans.index(b"\xff\xda")
    again = scans[start : scans.index(b"\xff", start + 16)]
    yield "jpeg scans", "jpeg", scans[:start] + again * (6_000_000 // len(again)) + scans[start:]
    flac = bytearray(sound_file("flac", seconds=0.1))
    flac[18:26] = b"\x0a\xc4\x42\xff\xff\xff\xff\xff"
    yield "flac length", "flac", bytes(flac)
    wav = bytearray(sound_file("wav", seconds=0.1))
    wav[4:8] = wav[40:44] = b"\xff\xff\xff\x7f"
    yield "wav length", "wav", bytes(wav)
    yield "flac silence", "flac", sound_file("flac", seconds=600, rate=8000, channels=1)
    ogg = bytearray(sound_file("ogg", seconds=0.1))
    last = ogg.rindex(b"OggS")
    ogg[last + 6 : last + 14] = b"\xff" * 7 + b"\x7f"
    yield "ogg length", "ogg", bytes(ogg)
    mp3 = sound_file("mp3", seconds=1, rate=8000, channels=1)
    yield "mp3 frames", "mp3", mp3 * 400
