"""The lines between a detector's jail and who asks it: JSON, one text at a time.

Trust: guard jail, gateway [net] and operator side. Input: on the asking side hostile bytes of the
jail, at most `ANSWER_BYTES` a line; every value is checked. No answer has any of a text in it.

    jail    {"said": "ready", "name": "NAME", "flag": 0.52, "block": 0.9}
            or {"said": "failed", "code": "CODE"}, then its end
    asker   {"id": 1, "text": "..."}
    jail    {"said": "score", "id": 1, "score": 0.97, "view": "decoded"}
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from corral.guard.views import ViewName

QUESTION_BYTES: Final = 16 << 20
ANSWER_BYTES: Final = 1024
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Ready(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="said", tag="ready"):
    """The detector is loaded and has passed its own test."""

    name: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9.-]{1,64}$")]
    flag: _Share
    block: _Share


class Failed(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="said", tag="failed"
):
    """It cannot be used, and has ended."""

    code: Literal["detector_invalid", "detector_untrustworthy"]


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text to look at."""

    id: Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
    text: str


class Answer(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="said", tag="score"
):
    """The highest score of its views, and of which it is."""

    id: int
    score: _Share
    view: ViewName


FromGuard = Ready | Failed | Answer
_decoder: Final = msgspec.json.Decoder(FromGuard)


def parse_from_guard(line: bytes) -> FromGuard | None:
    """Return what the jail said, or None if it is nothing of the protocol."""
    try:
        return _decoder.decode(line) if len(line) <= ANSWER_BYTES else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def encode_question(number: int, text: str) -> bytes:
    """Return the line of one text."""
    return msgspec.json.encode(Question(number, text)) + b"\n"
