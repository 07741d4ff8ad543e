"""A jail's answer: its line is bounded and has to fit to what was asked, its bytes are counted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.media.wire import Broken, Decoded, Image, Outcome, Reading, Refused, Sound, Task

IMAGE = Task("png", 100, 1000, 64, 2)
SOUND = Task("wav", 100, 1000, 64, 2)


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def image(width: object = 2, height: object = 3, **more: object) -> bytes:
    fields = {
        "said": "image", "width": width, "height": height, "was_width": 9, "was_height": 9,
        "found": [], "peak_bytes": 0,
    }  # fmt: skip
    return line(**(fields | more))


def sound(samples: object = 4, **more: object) -> bytes:
    fields = {
        "said": "sound", "samples": samples, "was_rate": 8000, "was_channels": 1, "found": [],
        "peak_bytes": 0,
    }  # fmt: skip
    return line(**(fields | more))


def read(task: Task, data: bytes, size: int = 1 << 20) -> Outcome | None:
    reading = Reading(task)
    for start in range(0, len(data), size):
        outcome = reading.feed(data[start : start + size])
        if outcome is not None:
            return outcome if start + size >= len(data) else Broken()
    return None


@pytest.mark.claim("MEDIA-03")
@given(size=st.integers(1, 300), pixels=st.binary(min_size=18, max_size=18))
def test_an_answer_is_the_same_in_any_pieces(size: int, pixels: bytes) -> None:
    whole = read(IMAGE, image() + pixels, size)
    assert isinstance(whole, Decoded)
    assert isinstance(whole.said, Image)
    assert whole.numbers == pixels
    heard = read(SOUND, sound() + pixels[:8], size)
    assert isinstance(heard, Decoded)
    assert isinstance(heard.said, Sound)
    assert read(IMAGE, line(said="refused", kind="media_type"), size) == Refused("media_type")
    assert read(IMAGE, image() + pixels[:-1], size) is None, "not all of it has come"


@pytest.mark.claim("MEDIA-03")
@pytest.mark.parametrize(
    ("task", "data"),
    [
        (IMAGE, image() + bytes(19)),
        (IMAGE, image(65, 1) + bytes(195)),
        (IMAGE, image(0, 1)),
        (IMAGE, image(-1, -1)),
        (IMAGE, image(2.5, 2)),
        (IMAGE, image("2", 3) + bytes(18)),
        (IMAGE, image(found=["anything"]) + bytes(18)),
        (IMAGE, image(found=["media_animated"] * 4) + bytes(18)),
        (IMAGE, image(note="words of a decoder") + bytes(18)),
        (IMAGE, sound() + bytes(8)),
        (SOUND, image() + bytes(18)),
        (SOUND, sound(32_001) + bytes(64_002)),
        (IMAGE, line(said="refused", kind="something else")),
        (IMAGE, line(said="refused", kind="media_type") + b"x"),
        (IMAGE, b"\x89PNG\r\n\x1a\n"),
        (IMAGE, b"[" * 2000),
        (IMAGE, b" " * 1023 + b"\n"),
        (IMAGE, b"\xff\xfe\n"),
        (IMAGE, b"null\n"),
    ],
)
def test_anything_else_is_none(task: Task, data: bytes) -> None:
    assert isinstance(read(task, data), Broken)


@given(data=st.binary(max_size=2000), size=st.integers(1, 600))
def test_nothing_that_comes_raises(data: bytes, size: int) -> None:
    read(IMAGE, data, size)


def test_an_end_before_the_answer_is_none() -> None:
    reading = Reading(IMAGE)
    assert reading.feed(image()) is None
    assert isinstance(reading.feed(b""), Broken)
