"""The formats that are taken, told by their first bytes.

Trust: gateway [net], command line and media jail. Input: hostile bytes, of which the first twelve
are compared and none is parsed. What is not on the list (SVG, PDF, TIFF, BMP, HEIC, AVIF, AIFF,
MP4, ...) is no medium here: their readers are big, or they are programs.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

ImageFormat = Literal["png", "jpeg", "webp", "gif"]
SoundFormat = Literal["wav", "flac", "ogg", "mp3"]
Format = ImageFormat | SoundFormat
Modality = Literal["image", "audio"]

IMAGES: Final[tuple[ImageFormat, ...]] = get_args(ImageFormat)
SOUNDS: Final[tuple[SoundFormat, ...]] = get_args(SoundFormat)
MEDIA_TYPES: Final[dict[str, ImageFormat]] = {
    "image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/webp": "webp",
    "image/gif": "gif",
}  # fmt: skip
"""What a data URL may say that it holds."""
SNIFFED_BYTES: Final = 12

_STARTS: Final[tuple[tuple[bytes, Format], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF87a", "gif"),
    (b"GIF89a", "gif"), (b"fLaC", "flac"), (b"OggS", "ogg"), (b"ID3", "mp3"),
)  # fmt: skip
_RIFF_KINDS: Final[dict[bytes, Format]] = {b"WEBP": "webp", b"WAVE": "wav"}


def sniff(data: bytes) -> Format | None:
    """Return the format that a file's first bytes are of; None for any other."""
    for start, found in _STARTS:
        if data.startswith(start):
            return found
    if data[:4] == b"RIFF":
        return _RIFF_KINDS.get(data[8:12])
    # A frame of MPEG 1 or 2, layer III: eleven bits of one, then the layer's two (ISO 11172-3).
    if len(data) >= 2 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2:
        return "mp3"
    return None


def modality_of(format_: Format) -> Modality:
    """Return what a model must take for a file of this format."""
    return "image" if format_ in IMAGES else "audio"
