"""What is made of numbers: one kind of PNG and one of WAV, whatever the numbers are."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from corral.media.fresh import fresh_file, png_file, wav_file
from corral.media.wire import Decoded, Image, Sound


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the chunks of a PNG; it has nothing else and every CRC is right."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, []
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert data[at + 8 + length : at + 12 + length] == struct.pack(
            ">I", zlib.crc32(kind + body)
        )
        found.append((kind, body))
        at += 12 + length
    assert at == len(data)
    return found


@pytest.mark.claim("MEDIA-04")
@settings(max_examples=50, deadline=None)
@given(width=st.integers(1, 40), height=st.integers(1, 40), data=st.data())
def test_a_png_has_these_pixels_and_nothing_else(
    width: int, height: int, data: st.DataObject
) -> None:
    size = 3 * width * height
    pixels = data.draw(st.binary(min_size=size, max_size=size))
    file = png_file(width, height, pixels)
    (head, end) = (chunks(file)[0], chunks(file)[-1])
    assert [kind for kind, _ in chunks(file)] == [b"IHDR", b"IDAT", b"IEND"]
    assert head[1] == struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    assert end[1] == b""
    with PILImage.open(BytesIO(file)) as image:
        assert (image.size, image.mode, image.info) == ((width, height), "RGB", {})
        assert image.tobytes() == pixels


@pytest.mark.claim("MEDIA-04")
@settings(max_examples=50, deadline=None)
@given(samples=st.binary(min_size=2, max_size=400).map(lambda data: data[: len(data) // 2 * 2]))
def test_a_wav_has_these_samples_and_nothing_else(samples: bytes) -> None:
    file = wav_file(samples)
    assert file[:4] + file[8:16] + file[36:40] == b"RIFFWAVEfmt data"
    assert struct.unpack("<I", file[4:8]) == (len(file) - 8,)
    assert file[44:] == samples
    heard, rate = soundfile.read(BytesIO(file), dtype="int16")
    assert rate == 16_000
    assert heard.astype("<i2").tobytes() == samples


def test_an_answer_becomes_the_file_of_its_kind() -> None:
    seen = Decoded(Image(1, 1, 9, 9, [], 0), b"\x01\x02\x03")
    assert fresh_file(seen) == png_file(1, 1, b"\x01\x02\x03")
    heard = Decoded(Sound(1, 8000, 1, [], 0), np.int16(7).tobytes())
    assert fresh_file(heard) == wav_file(b"\x07\x00")
