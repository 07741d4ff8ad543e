"""JSON lines between the gateway and an engine worker: the schema of both directions.

Trust: imported by the gateway [net] and by the worker [jail].
Input: each side checks the other: one line is at most `WIRE_LINE_BYTES`, unknown fields and types
are refused. A worker that breaks the schema is killed.

A worker is told to `Load` first. It prints `Ready` (or `Fatal`) once, then answers each `Generate`
with any number of `Chunk` and exactly one `End` or `Failed` of the same id. `Cancel` makes the end
come soon. Images and sounds come before their `Generate`, in `Media` lines with nothing between.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from corral.core.limits import WIRE_LINE_BYTES
from corral.engine.media_bounds import MEDIA_BYTES, MEDIA_COUNT, MEDIA_PIECE_BYTES

SEAL_FAILED: Final = "seal_failed"
"""The code of a worker that could not lock itself in; it takes no request."""


class Load(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="op", tag="load",
    omit_defaults=True,
):  # fmt: skip
    """The first line to each worker: load the model of the command line.

    Attributes:
        template: chat template of the model's receipt, which the engine uses instead of the file's.
        special: texts of which `Ready` is to say how many are special tokens.
    """

    template: str
    special: tuple[str, ...] = ()


class Message(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """One chat message: text, and where in it images and sounds stand.

    Attributes:
        media: by medium of this message, in order, how many characters of `content` are before it;
            ascending.
    """

    role: str
    content: str
    media: tuple[int, ...] = ()


class Sampling(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Sampling options; None takes the default of `engine.translate`, never the engine's own.

    Attributes:
        logprobs: number of alternatives for each token; None for no log-probabilities.
        stop: at most 16 stop sequences.
        json_schema: `guard.json_schema.Schema.text`, to which the engine steers the answer; None
            for any text.
    """

    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: int | None = None
    json_schema: str | None = None


class Media(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="op", tag="media"):
    """A piece of an image or a sound of the request that comes next.

    Attributes:
        id: of the request.
        index: of the medium, from 0, in the order of all the request's messages.
        data: base64; all pieces but a medium's last have a multiple of three bytes.
        last: the medium ends with this piece.
    """

    id: int
    index: int
    data: str
    last: bool


class Generate(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="op", tag="gen"):
    """Ask for one completion: of a chat (`messages`) or of a text (`prompt`), one of the two."""

    id: int
    sampling: Sampling
    messages: tuple[Message, ...] | None = None
    prompt: str | None = None


class Cancel(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="op", tag="cancel"):
    """End a request early."""

    id: int


class TopLogprob(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One alternative token."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class TokenLogprob(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One chosen token with its alternatives."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top_logprobs: tuple[TopLogprob, ...] = ()


class Usage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Token counts of one request; `cached_tokens` is the reused part of the prompt."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


class Ready(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="ev", tag="ready",
    omit_defaults=True,
):  # fmt: skip
    """The model is loaded and requests are taken.

    Attributes:
        engine: engine name and version.
        load_ms: time from process start to now.
        special: how many of the texts of `Load` are one special token each to the engine.
    """

    engine: str
    load_ms: int
    special: int = 0


class Fatal(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="ev", tag="fatal"):
    """The worker cannot serve, and exits.

    Attributes:
        code: `load_failed`: not this model; `seal_failed`: it could not lock itself in.
    """

    code: str


class Chunk(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="ev", tag="c",
    omit_defaults=True,
):  # fmt: skip
    """A piece of the answer. The first chunk of a request may have empty text."""

    id: int
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


class End(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="ev", tag="end",
    omit_defaults=True,
):  # fmt: skip
    """The answer is complete.

    Attributes:
        reason: `stop`, `length` or `cancelled`.
    """

    id: int
    reason: str
    usage: Usage


class Failed(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="ev", tag="fail"):
    """The request cannot be answered.

    Attributes:
        code: `context_length_exceeded`, `bad_request`, `special_token` or `engine_error`.
    """

    id: int
    code: str


_T = TypeVar("_T")

ToWorker = Load | Media | Generate | Cancel
FromWorker = Ready | Fatal | Chunk | End | Failed

_encoder: Final = msgspec.json.Encoder()
_to_worker: Final[msgspec.json.Decoder[ToWorker]] = msgspec.json.Decoder(ToWorker)
_from_worker: Final[msgspec.json.Decoder[FromWorker]] = msgspec.json.Decoder(FromWorker)


_LARGEST_ID: Final = (1 << 63) - 1
_OVERHEAD_BYTES: Final = 4096
"""More than a request's line is longer than the caller's JSON: our own names and numbers."""


class WireError(Exception):
    """The other side broke the schema."""


def encode_line(message: ToWorker | FromWorker) -> bytes:
    """Return one line with its newline.

    Raises:
        WireError: the line would be longer than `WIRE_LINE_BYTES`.
    """
    line = _encoder.encode(message) + b"\n"
    if len(line) > WIRE_LINE_BYTES:
        raise WireError("line too long")
    return line


def media_lines(request_id: int, media: tuple[bytes, ...]) -> Iterator[Media]:
    """Yield the lines that bring a request's images and sounds, before its `Generate`.

    Raises:
        WireError: they are more than `MEDIA_COUNT`, or than `MEDIA_BYTES` together.
    """
    if len(media) > MEDIA_COUNT or sum(map(len, media)) > MEDIA_BYTES:
        raise WireError("too much media")
    for index, data in enumerate(media):
        for place in range(0, max(1, len(data)), MEDIA_PIECE_BYTES):
            piece = data[place : place + MEDIA_PIECE_BYTES]
            last = place + MEDIA_PIECE_BYTES >= len(data)
            yield Media(request_id, index, b64encode(piece).decode(), last)


def fits_line(
    sampling: Sampling,
    messages: tuple[Message, ...] | None,
    prompt: str | None,
    *,
    body_bytes: int | None = None,
) -> bool:
    """Return whether a request fits into one line.

    Args:
        sampling: as in `Generate`.
        messages: as in `Generate`.
        prompt: as in `Generate`.
        body_bytes: length of the JSON that the caller sent it in; None if its texts are not the
            caller's any more. Nothing in a line but a schema is spelt longer than a caller can
            spell it, so that a short body needs no trial.
    """
    is_short = body_bytes is not None and body_bytes <= WIRE_LINE_BYTES - _OVERHEAD_BYTES
    if is_short and sampling.json_schema is None:
        return True
    try:
        encode_line(Generate(_LARGEST_ID, sampling, messages, prompt))
    except WireError:
        return False
    return True


def decode_to_worker(line: bytes) -> ToWorker:
    """Parse a line that the gateway sent.

    Raises:
        WireError: not of the schema.
    """
    return _decode(_to_worker, line)


def decode_from_worker(line: bytes) -> FromWorker:
    """Parse a line that a worker sent.

    Raises:
        WireError: not of the schema.
    """
    return _decode(_from_worker, line)


def _decode(decoder: msgspec.json.Decoder[_T], line: bytes) -> _T:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("line not of the schema") from error
