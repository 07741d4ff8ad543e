"""Parts of messages that are images or sounds, as OpenAI's clients send them.

Trust: gateway [net]. Input: hostile JSON, bounded by the body's size. Base64 is undone here, and
nothing of what is in it is looked at: that is a media jail's (`gateway.media`).
"""

from __future__ import annotations

import binascii
from typing import Final, Literal

import msgspec

from corral.gateway.errors import ApiError, bad_request
from corral.media.formats import MEDIA_TYPES, SoundFormat
from corral.media.upload import Upload
from corral.media.wire import FILE_BYTES_MAX

UPLOADS_MAX: Final = 8
"""Most files of one request."""
_SCHEME: Final = "data:"
_HEAD_CHARACTERS: Final = 64


class ImageUrl(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An image in a URL.

    Attributes:
        detail: taken and ignored: a policy says how large an image may be.
    """

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="image_url"
):
    """An image of a message."""

    image_url: ImageUrl


class InputAudio(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A sound in base64."""

    data: str
    format: SoundFormat


class AudioPart(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="input_audio"
):
    """A sound of a message."""

    input_audio: InputAudio


def parse_upload(part: ImagePart | AudioPart, place: str) -> Upload | ApiError:
    """Return the file of a part, or why it is refused.

    Args:
        part: of a message.
        place: where it is in the request, such as `messages[0].content[1]`.
    """
    if isinstance(part, AudioPart):
        param = f"{place}.input_audio.data"
        data = _undone(part.input_audio.data, param)
        if isinstance(data, ApiError):
            return data
        return Upload(param, "audio", part.input_audio.format, data)
    param, url = f"{place}.image_url.url", part.image_url.url
    head, comma, body = url[len(_SCHEME) :].partition(",")
    if url[: len(_SCHEME)].lower() != _SCHEME:
        return bad_request(
            "media_url_refused", "no URL is fetched here; send the image as a data: URL", param
        )
    if not comma or len(head) > _HEAD_CHARACTERS or not head.endswith(";base64"):
        return bad_request("invalid_parameter", "this is no data: URL in base64", param)
    data = _undone(body, param)
    if isinstance(data, ApiError):
        return data
    said = head.removesuffix(";base64").lower()
    return Upload(param, "image", MEDIA_TYPES.get(said), data)


def _undone(text: str, param: str) -> bytes | ApiError:
    if len(text) > FILE_BYTES_MAX // 3 * 4 + 4:
        return bad_request("media_too_long", f"a file is over {FILE_BYTES_MAX} bytes", param)
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error, and characters that are not ASCII
        return bad_request("invalid_parameter", "this is not base64", param)
    if not data:
        return bad_request("invalid_parameter", "the file is empty", param)
    if len(data) > FILE_BYTES_MAX:
        return bad_request("media_too_long", f"a file is over {FILE_BYTES_MAX} bytes", param)
    return data
