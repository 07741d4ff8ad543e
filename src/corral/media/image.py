"""An image file to pixels: one frame, upright, red, green and blue, no larger than asked for.

Trust: media jail; Pillow and its decoders (zlib, libjpeg-turbo, libwebp) are memory-unsafe code on
hostile bytes. The four readers are called by name, so that no other one of Pillow's is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Final, NamedTuple

from PIL import Image as PILImage
from PIL import ImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from corral.media.formats import ImageFormat
from corral.media.layout import TooLargeError

_READERS: Final[dict[ImageFormat, Callable[[BytesIO], ImageFile.ImageFile]]] = {
    "png": PngImageFile, "jpeg": JpegImageFile, "webp": WebPImageFile, "gif": GifImageFile,
}  # fmt: skip
_ORIENTATION: Final = 0x0112
"""EXIF 2.32, 4.6.4.1.1: how to turn the picture to see it upright."""
_TURNS: Final = {
    2: PILImage.Transpose.FLIP_LEFT_RIGHT, 3: PILImage.Transpose.ROTATE_180,
    4: PILImage.Transpose.FLIP_TOP_BOTTOM, 5: PILImage.Transpose.TRANSPOSE,
    6: PILImage.Transpose.ROTATE_270, 7: PILImage.Transpose.TRANSVERSE,
    8: PILImage.Transpose.ROTATE_90,
}  # fmt: skip


class Pixels(NamedTuple):
    """A picture.

    Attributes:
        rgb: 3 bytes for each pixel, row by row from the top.
        was_width, was_height: before it was turned and scaled.
    """

    width: int
    height: int
    rgb: bytes
    was_width: int
    was_height: int


def read_image(format_: ImageFormat, data: bytes, *, pixels_max: int, side_max: int) -> Pixels:
    """Decode the first frame of an image.

    Args:
        format_: whose reader is used.
        data: the file.
        pixels_max: of the file; known before one is decoded.
        side_max: longest side of what comes out.

    Raises:
        TooLargeError: more than `pixels_max`.
        Exception: whatever Pillow raises on a malformed file.
    """
    image: PILImage.Image = _READERS[format_](BytesIO(data))
    width, height = image.size
    if width * height > pixels_max:
        raise TooLargeError
    turn = _TURNS.get(_orientation(image))
    image.draft("RGB", (side_max, side_max))  # a JPEG is decoded at half, a quarter, an eighth
    image.load()
    image = _in_eight_bits(image)
    image.thumbnail((side_max, side_max), PILImage.Resampling.BICUBIC, reducing_gap=2.0)
    image = _opaque(image)
    if turn is not None:
        image = image.transpose(turn)
    return Pixels(*image.size, image.tobytes(), width, height)


def _orientation(image: PILImage.Image) -> int:
    with suppress(Exception):  # EXIF that cannot be read turns nothing
        return int(image.getexif().get(_ORIENTATION, 1))
    return 1


def _in_eight_bits(image: PILImage.Image) -> PILImage.Image:
    """Return it in a mode that can be scaled: a palette's numbers are no colours."""
    if image.mode.startswith("I"):  # 16 bits of grey
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in {"RGB", "RGBA", "L", "LA", "CMYK"} and "transparency" not in image.info:
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _opaque(image: PILImage.Image) -> PILImage.Image:
    if image.mode not in {"RGBA", "LA"}:
        return image.convert("RGB")
    image = image.convert("RGBA")
    paper = PILImage.new("RGB", image.size, "white")
    paper.paste(image, mask=image.getchannel("A"))
    return paper
