"""Small sound images and sounds, made by the libraries that the jail reads them with."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import soundfile
from PIL import Image

WIDTH, HEIGHT = 60, 40
RATE = 44_100


def picture(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Return a picture whose corners differ: red, green, blue and white."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("lime", (width // 2, 0, width, height // 2))
    image.paste("blue", (0, height // 2, width // 2, height))
    image.paste("white", (width // 2, height // 2, width, height))
    return image


def image_file(format_: str, image: Image.Image | None = None, **options: object) -> bytes:
    """Return a file of a picture."""
    stream = BytesIO()
    (image or picture()).save(stream, format_, **options)
    return stream.getvalue()


def gif_of(frames: int) -> bytes:
    """Return an animation."""
    first, *more = [Image.new("RGB", (8, 8), (number % 256, 0, 0)) for number in range(frames)]
    return image_file("gif", first, save_all=True, append_images=more, duration=10)


def sound_file(format_: str, *, seconds: float = 0.5, rate: int = RATE, channels: int = 2) -> bytes:
    """Return a file of a tone of 440 Hz."""
    tone = np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate) / 2
    stream = BytesIO()
    soundfile.write(stream, np.stack([tone] * channels, axis=1), rate, format=format_.upper())
    return stream.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
