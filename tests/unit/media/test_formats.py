"""Which files are taken: by their first bytes, from a closed list."""

from __future__ import annotations

import pytest

from corral.media.formats import IMAGES, SOUNDS, modality_of, sniff
from tests.support.media_files import image_file, sound_file


@pytest.mark.claim("MEDIA-02")
def test_only_the_listed_formats_are_known() -> None:
    for format_ in IMAGES:
        assert sniff(image_file(format_)) == format_
        assert modality_of(format_) == "image"
    for format_ in SOUNDS:
        assert sniff(sound_file(format_)) == format_
        assert modality_of(format_) == "audio"
    for other in ("bmp", "tiff", "ppm", "ico", "pdf", "tga", "jpeg2000"):
        assert sniff(image_file(other)) is None, other
    for other in ("aiff", "au", "caf", "w64"):
        assert sniff(sound_file(other)) is None, other


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff", b"\x89PNG", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7\n",
        b"PK\x03\x04", b"RIFF\0\0\0\0AVI ", b"MZ", b"\x7fELF", b"#!/bin/sh", b"GIF88a",
        b"\x00\x00\x00\x20ftypavif", b"\xff\xf1\x50\x80", b" \x89PNG\r\n\x1a\n",
    ],
)  # fmt: skip
def test_what_is_no_medium(data: bytes) -> None:
    assert sniff(data) is None
