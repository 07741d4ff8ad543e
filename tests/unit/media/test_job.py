"""The media job outside of its jail: what is made of files, and what is refused with which kind."""

from __future__ import annotations

import random
import struct
import zlib
from io import BytesIO
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image as PILImage

from corral.media import sound
from corral.media.formats import IMAGES, SOUNDS, sniff
from corral.media.job import answer, serve
from corral.media.wire import Image, Refused, Sound, Task, encode_task
from tests.support.media_files import (
    HEIGHT,
    WIDTH,
    gif_of,
    image_file,
    picture,
    png_chunk,
    sound_file,
)


@pytest.fixture(autouse=True)
def _own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "FILE", tmp_path / "sound")


def said_of(
    data: bytes,
    format_: object = None,
    *,
    pixels: int = 1_000_000,
    side: int = 512,
    seconds: int = 5,
) -> tuple[Image | Sound | Refused, bytes]:
    task = Task(format_ or sniff(data), len(data), pixels, side, seconds)
    return answer(task, data)


def found_in(data: bytes) -> list[str]:
    said, _ = said_of(data)
    assert not isinstance(said, Refused), said
    return list(said.found)


def refusal_of(data: bytes, format_: object = None, **limits: int) -> str:
    said, numbers = said_of(data, format_, **limits)
    assert isinstance(said, Refused), said
    assert numbers == b""
    return said.kind


def is_most(colour: tuple[int, int, int], channel: int) -> bool:
    return colour[channel] > 200 and sum(colour) - colour[channel] < 120


def seen(numbers: bytes, width: int, height: int) -> dict[str, tuple[int, int, int]]:
    """Return the colours of the four corners, one pixel inside."""
    image = PILImage.frombytes("RGB", (width, height), numbers)
    places = {
        "nw": (1, 1),
        "ne": (width - 2, 1),
        "sw": (1, height - 2),
        "se": (width - 2, height - 2),
    }
    return {name: image.getpixel(place) for name, place in places.items()}


@pytest.mark.claim("MEDIA-05")
@pytest.mark.parametrize("format_", IMAGES)
def test_an_image_becomes_its_pixels(format_: str) -> None:
    said, numbers = said_of(image_file(format_))
    assert isinstance(said, Image)
    assert (said.width, said.height, len(numbers)) == (WIDTH, HEIGHT, 3 * WIDTH * HEIGHT)
    assert said.found == []
    corners = seen(numbers, WIDTH, HEIGHT)
    red, green, blue = corners["nw"], corners["ne"], corners["sw"]
    assert is_most(red, 0)
    assert is_most(green, 1)
    assert is_most(blue, 2)
    assert min(corners["se"]) > 200


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "I", "CMYK"])
def test_each_mode_becomes_red_green_and_blue(mode: str) -> None:
    image = PILImage.new("L", (8, 8), 255).convert("I;16" if mode == "I;16" else mode)
    if mode in {"I;16", "I"}:
        image = PILImage.fromarray(np.full((8, 8), 65535, np.uint16))
    format_ = "jpeg" if mode == "CMYK" else "png"
    said, numbers = said_of(image_file(format_, image))
    assert isinstance(said, Image)
    assert min(numbers) > 250


def test_what_is_transparent_is_paper() -> None:
    for image in (PILImage.new("RGBA", (4, 4), (0, 0, 0, 0)), PILImage.new("LA", (4, 4), (0, 0))):
        _, numbers = said_of(image_file("png", image))
        assert set(numbers) == {255}
    _, numbers = said_of(image_file("png", PILImage.new("L", (4, 4), 0), transparency=0))
    assert set(numbers) == {255}


def test_a_large_image_is_scaled_down_and_a_small_one_is_left() -> None:
    said, numbers = said_of(image_file("jpeg", picture(600, 400)), side=60)
    assert isinstance(said, Image)
    assert (said.width, said.height, said.was_width, said.was_height) == (60, 40, 600, 400)
    assert len(numbers) == 3 * 60 * 40
    thin, _ = said_of(image_file("png", PILImage.new("RGB", (1000, 1))), side=16)
    assert isinstance(thin, Image)
    assert (thin.width, thin.height) == (16, 1)


@pytest.mark.claim("MEDIA-06")
@pytest.mark.parametrize("format_", ["jpeg", "png", "webp"])
def test_a_photograph_is_turned_and_tells_nothing_else(format_: str) -> None:
    exif = PILImage.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    exif[0x010E] = "Ada's garden"
    exif.get_ifd(0x8825)[2] = (48.0, 12.0, 30.0)  # where
    data = image_file(format_, picture(), exif=exif)
    assert b"Ada's garden" in data
    said, numbers = said_of(data)
    assert isinstance(said, Image)
    assert said.found == ["media_metadata"]
    assert (said.width, said.height) == (HEIGHT, WIDTH)
    assert is_most(seen(numbers, HEIGHT, WIDTH)["ne"], 0)
    # The attack without: a plain copy keeps all of it.
    with PILImage.open(BytesIO(data)) as image:
        copy = image_file(format_, image, exif=image.getexif())
    assert b"Ada's garden" in copy


def test_exif_that_cannot_be_read_turns_nothing() -> None:
    entry = struct.pack(">HHI4s", 0x0112, 2, 4, b"left")
    data = image_file("jpeg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1" + entry + bytes(4))
    said, _ = said_of(data)
    assert isinstance(said, Image)
    assert (said.width, said.height) == (WIDTH, HEIGHT)


@pytest.mark.claim("MEDIA-05")
@pytest.mark.parametrize("format_", SOUNDS)
@pytest.mark.parametrize("rate", [11_025, 16_000, 44_100, 48_000])
def test_a_sound_becomes_samples_of_one_rate(format_: str, rate: int) -> None:
    said, numbers = said_of(sound_file(format_, rate=rate, seconds=1))
    assert isinstance(said, Sound)
    assert said.samples * 2 == len(numbers)
    assert abs(said.samples - 16_000) < (3000 if format_ == "mp3" else 200)
    heard = np.frombuffer(numbers, "<i2") / 32768
    loudest = np.abs(np.fft.rfft(heard)).argmax() * 16_000 / len(heard)
    assert abs(loudest - 440) < 3
    assert 0.3 < np.abs(heard).max() < 0.8


def test_what_is_above_half_the_rate_is_taken_out() -> None:
    high = np.sin(2 * np.pi * 15_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(sound.resample(high, 48_000)[200:-200]).max() < 0.001
    assert np.abs(high[::3]).max() > 0.9, "the control: taking every third sample folds it down"


def test_a_sound_that_is_no_number_is_silence(tmp_path: Path) -> None:
    import soundfile

    stream = BytesIO()
    odd = np.array([np.nan, np.inf, -np.inf, 1e30] * 100, np.float32)
    soundfile.write(stream, odd, 16_000, format="WAV", subtype="FLOAT")
    said, numbers = said_of(stream.getvalue())
    assert isinstance(said, Sound)
    assert set(np.frombuffer(numbers, "<i2").tolist()) == {0, 32767, -32767}


@pytest.mark.claim("MEDIA-07")
def test_an_animation_is_found_and_its_first_frame_is_taken() -> None:
    assert found_in(gif_of(3)) == ["media_animated"]
    assert found_in(gif_of(1)) == []
    frames = [PILImage.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    for format_ in ("webp", "png"):
        data = image_file(format_, frames[0], save_all=True, append_images=frames[1:], duration=9)
        said, numbers = said_of(data)
        assert isinstance(said, Image)
        assert said.found == ["media_animated"]
        assert numbers[0] > 200 > numbers[1]


TAILS = {
    "zip": b"PK\x05\x06" + bytes(18), "pdf": b"%PDF-1.7\n", "html": b"<html><script>x</script>",
    "zeros": bytes(3), "program": b"\x7fELF" + bytes(60),
}  # fmt: skip


@pytest.mark.claim("MEDIA-08")
@pytest.mark.parametrize("format_", ["png", "jpeg", "webp", "gif", "wav", "ogg"])
@pytest.mark.parametrize("tail", TAILS)
def test_what_is_behind_the_end_is_found_and_gone(format_: str, tail: str) -> None:
    data = image_file(format_) if format_ in IMAGES else sound_file(format_)
    said, numbers = said_of(data + TAILS[tail])
    assert not isinstance(said, Refused)
    assert "media_polyglot" in said.found
    plain, same = said_of(data)
    assert not isinstance(plain, Refused)
    assert "media_polyglot" not in plain.found
    assert numbers == same


@pytest.mark.claim("MEDIA-08")
def test_a_file_within_is_found() -> None:
    for hidden in (
        b"<script>alert(1)</script>",
        b"%PDF-1.4",
        b"<?php system('id');",
        b"<!DOCTYPE html>",
    ):
        assert "media_polyglot" in found_in(image_file("jpeg", comment=hidden)), hidden
        assert "media_polyglot" in found_in(image_file("gif", comment=hidden)), hidden
    assert found_in(image_file("jpeg", comment=b"a garden")) == ["media_metadata"]
    zipped = image_file("jpeg", comment=b"PK\x05\x06" + bytes(18))
    assert "media_polyglot" in found_in(zipped)
    for format_ in ("flac", "mp3"):
        assert "media_polyglot" in found_in(sound_file(format_) + TAILS["zip"])


@pytest.mark.parametrize("format_", [*IMAGES, *SOUNDS])
@pytest.mark.claim("MEDIA-09")
def test_a_file_of_another_format_than_it_is_said_to_be(format_: str) -> None:
    data = image_file(format_) if format_ in IMAGES else sound_file(format_)
    for other in (*IMAGES, *SOUNDS):
        if other != format_:
            assert refusal_of(data, other) == "media_type"


@pytest.mark.claim("MEDIA-10")
@pytest.mark.parametrize("format_", IMAGES)
def test_an_image_that_is_cut_off_is_refused(format_: str) -> None:
    data = image_file(format_, picture(300, 200))
    for part in (0.3, 0.6, 0.9):
        assert refusal_of(data[: int(part * len(data))]) == "media_malformed"
    assert refusal_of(data[:-1]) == "media_malformed"


def huge_png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        png_chunk(kind, data) for kind, data in ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    )


@pytest.mark.claim("MEDIA-11")
def test_what_says_that_it_is_huge_is_not_decoded() -> None:
    assert refusal_of(huge_png(60_000, 60_000)) == "media_too_large"
    assert refusal_of(huge_png(1001, 1000)) == "media_too_large"
    assert refusal_of(image_file("gif", PILImage.new("L", (1100, 1000)))) == "media_too_large"
    assert refusal_of(image_file("webp", PILImage.new("RGB", (1100, 1000)))) == "media_too_large"
    for format_ in SOUNDS:
        assert refusal_of(sound_file(format_, seconds=6, rate=8000)) == "media_too_large"
    lying = bytearray(sound_file("flac", seconds=0.2))
    lying[21:26] = b"\xff" * 5  # most samples that STREAMINFO can say
    assert refusal_of(bytes(lying)) in {"media_too_large", "media_malformed"}


def test_a_sound_that_is_odd_is_refused() -> None:
    assert refusal_of(sound_file("wav", rate=44_101)) == "media_malformed"
    assert refusal_of(sound_file("wav", channels=9)) == "media_malformed"
    assert refusal_of(sound_file("wav", seconds=0)) == "media_malformed"


@pytest.mark.claim("MEDIA-12")
def test_no_word_of_a_decoder_comes_out() -> None:
    chance = random.Random(7)
    for format_ in (*IMAGES, *SOUNDS):
        data = bytearray(image_file(format_) if format_ in IMAGES else sound_file(format_))
        for _ in range(20):
            data[chance.randrange(12, len(data))] ^= 1 << chance.randrange(8)
            said, _ = said_of(bytes(data), format_)
            line = msgspec.json.encode(said)
            assert len(line) < 200
            if isinstance(said, Refused):
                assert set(msgspec.json.decode(line)) == {"said", "kind"}


def test_it_answers_until_its_input_ends() -> None:
    data = image_file("png")
    task = encode_task(Task("png", len(data), 10_000, 64, 1))
    answers = BytesIO()
    assert serve(BytesIO((task + data) * 2 + task + data[:10]), answers) == 0
    one = len(answers.getvalue()) // 2
    assert answers.getvalue()[:one] == answers.getvalue()[one:]
    assert answers.getvalue().startswith(b'{"said":"image"')
