"""The worker's side of the wire, as plain dicts; `engine.wire` is the schema of the same lines.

Trust: jail zone. Input: lines of the gateway, checked here field by field: unknown fields, missing
ones and wrong types are refused. tests/unit/engine/test_worker_wire.py proves that both sides
agree. What a worker says is checked where it counts, by the gateway.
"""

from __future__ import annotations

from corral.core.limits import WIRE_LINE_BYTES
from corral.engine.media_bounds import MEDIA_BYTES, MEDIA_COUNT
from corral.engine.plain_json import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Line = dict[str, Any]
    Check = Callable[[Any], bool]


class LineError(Exception):
    """The gateway broke the schema, or our own line is too long."""


class Generate:
    """Ask for one completion: of a chat (`messages`) or of a text (`prompt`), one of the two.

    Attributes:
        sampling: the options that are set, by the names of `engine.wire.Sampling`.
        messages: dicts of `role` and `content`, and of `media` where there are any.
        media: images and sounds of the messages, in their order, as base64.
    """

    __slots__ = ("id", "media", "messages", "prompt", "sampling")

    def __init__(
        self,
        id: int,  # noqa: A002 - the wire's name
        sampling: dict[str, Any],
        messages: list[dict[str, Any]] | None = None,
        prompt: str | None = None,
    ) -> None:
        self.id = id
        self.sampling = sampling
        self.messages = messages
        self.prompt = prompt
        self.media: list[str] = []


class Media:
    """A piece of an image or a sound of the request that comes next; see `engine.wire.Media`."""

    __slots__ = ("data", "id", "index", "last")

    def __init__(self, id: int, index: int, data: str, *, last: bool) -> None:  # noqa: A002 - the wire's name
        self.id = id
        self.index = index
        self.data = data
        self.last = last


class Gathered:
    """Images and sounds whose request has not come yet: of one request, within the bounds."""

    def __init__(self) -> None:
        self._id = 0
        self._media: list[list[str]] = []
        self._is_open = False
        self._characters = 0

    def add(self, piece: Media) -> None:
        """Keep a piece.

        Raises:
            LineError: it does not go on where the one before ended, or it is too much.
        """
        begins = not self._is_open
        if begins and not self._media:
            self._id = piece.id
        self._characters += len(piece.data)
        if (
            piece.id != self._id
            or piece.index != len(self._media) - (0 if begins else 1)
            or piece.index >= MEDIA_COUNT
            or self._characters > _MEDIA_CHARACTERS
        ):
            raise LineError("media out of order, or too much of them")
        if begins:
            self._media.append([])
        self._media[-1].append(piece.data)
        self._is_open = not piece.last

    def give(self, request: Generate) -> None:
        """Give a request what came before it.

        Raises:
            LineError: that was another request's, or not what its messages have places for.
        """
        places = sum(len(one.get("media", ())) for one in request.messages or ())
        if self._is_open or places != len(self._media) or (places and request.id != self._id):
            raise LineError("media and messages do not fit")
        request.media = ["".join(one) for one in self._media]
        self._media, self._characters = [], 0


class Cancel:
    """End a request early."""

    __slots__ = ("id",)

    def __init__(self, id: int) -> None:  # noqa: A002 - the wire's name
        self.id = id


def _is_int(value: Any) -> bool:
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_number(value: Any) -> bool:
    return type(value) is float or _is_int(value)


def _is_texts(value: Any) -> bool:
    return type(value) is list and all(map(_is_text, value))


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _is_record(value: Any, needed: dict[str, Check], more: dict[str, Check]) -> bool:
    return (
        type(value) is dict
        and all(name in value and check(value[name]) for name, check in needed.items())
        and all(name in needed or (name in more and more[name](value[name])) for name in value)
    )


def _is_places(value: Any) -> bool:
    return type(value) is list and all(map(_is_int, value)) and value == sorted(value)


_MESSAGE: dict[str, Check] = {"role": _is_text, "content": _is_text}
_PLACED: dict[str, Check] = {"media": _is_places}
_SAMPLING: dict[str, Check] = {
    "temperature": _or_none(_is_number),
    "top_p": _or_none(_is_number),
    "seed": _or_none(_is_int),
    "stop": _is_texts,
    "frequency_penalty": _or_none(_is_number),
    "presence_penalty": _or_none(_is_number),
    "logprobs": _or_none(_is_int),
    "json_schema": _or_none(_is_text),
}


def _is_sampling(value: Any) -> bool:
    return _is_record(value, {"max_tokens": _is_int}, _SAMPLING)


def _is_messages(value: Any) -> bool:
    return type(value) is list and all(_is_message(one) for one in value)


def _is_message(value: Any) -> bool:
    if not _is_record(value, _MESSAGE, _PLACED):
        return False
    places = value.get("media", ())
    return not places or 0 <= places[0] <= places[-1] <= len(value["content"])


_GENERATE: dict[str, Check] = {"op": _is_text, "id": _is_int, "sampling": _is_sampling}
_ASKED: dict[str, Check] = {"messages": _or_none(_is_messages), "prompt": _or_none(_is_text)}
_LOAD: dict[str, Check] = {"op": _is_text, "template": _is_text}
_LOOKED_UP: dict[str, Check] = {"special": _is_texts}
_MEDIA: dict[str, Check] = {
    "op": _is_text, "id": _is_int, "index": _is_int, "data": _is_text,
    "last": lambda value: type(value) is bool,
}  # fmt: skip
_MEDIA_CHARACTERS = MEDIA_BYTES // 3 * 4 + 4 * MEDIA_COUNT
_CANCEL: dict[str, Check] = {"op": _is_text, "id": _is_int}


def parse_line(line: bytes) -> Generate | Media | Cancel:
    """Parse a line that the gateway sent.

    Raises:
        LineError: not of the schema.
    """
    try:
        found = decode(line)
    except ValueError as error:
        raise LineError("not JSON") from error
    kind = found.get("op") if type(found) is dict else None
    if kind == "cancel" and _is_record(found, _CANCEL, {}):
        return Cancel(found["id"])
    if kind == "media" and _is_record(found, _MEDIA, {}):
        return Media(found["id"], found["index"], found["data"], last=found["last"])
    if kind == "gen" and _is_record(found, _GENERATE, _ASKED):
        return Generate(found["id"], found["sampling"], found.get("messages"), found.get("prompt"))
    raise LineError("not of the schema")


def parse_load(line: bytes) -> tuple[str, list[str]]:
    """Parse the first line that the gateway sends; return the chat template, and texts to look up.

    Raises:
        LineError: not of the schema, or the template is empty: the engine would take the file's.
    """
    try:
        found = decode(line)
    except ValueError as error:
        raise LineError("not JSON") from error
    if not _is_record(found, _LOAD, _LOOKED_UP) or found["op"] != "load" or not found["template"]:
        raise LineError("not of the schema")
    return found["template"], found.get("special", [])


def ready(engine: str, load_ms: int, special: int) -> Line:
    """The model is loaded and requests are taken; so many of the texts are special tokens."""
    line: Line = {"ev": "ready", "engine": engine, "load_ms": load_ms}
    if special:
        line["special"] = special
    return line


def fatal(code: str) -> Line:
    """The worker cannot serve, and exits."""
    return {"ev": "fatal", "code": code}


def chunk(request_id: int, text: str, logprobs: list[Line]) -> Line:
    """A piece of the answer; see `engine.wire.Chunk`."""
    line: Line = {"ev": "c", "id": request_id, "text": text}
    if logprobs:
        line["logprobs"] = logprobs
    return line


def end(request_id: int, reason: str, prompt: int, completion: int, cached: int) -> Line:
    """The answer is complete; three token counts."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "cached_tokens": cached}
    return {"ev": "end", "id": request_id, "reason": reason, "usage": usage}


def failed(request_id: int, code: str) -> Line:
    """The request cannot be answered."""
    return {"ev": "fail", "id": request_id, "code": code}


def encode_lines(messages: list[Line]) -> bytes:
    """Return the messages as lines, each with its newline.

    Raises:
        LineError: a line would be longer than `WIRE_LINE_BYTES`.
    """
    lines = [encode(message) + b"\n" for message in messages]
    if any(len(line) > WIRE_LINE_BYTES for line in lines):
        raise LineError("line too long")
    return b"".join(lines)
