"""Calls out of an answer, piece by piece: only whole ones, wherever the answer is cut.

Trust: gateway [net]. Input: a hostile answer. A frame ends at the first end of a frame that is not
in a JSON string; a string that has a line end in it is none, so that a broken frame ends as well.
White space before a frame is no text of the answer. Held back is what may become the beginning of a
frame, at most `_SPACE_MAX` and the frame's name; a call is kept until it is whole, at most
`CALL_CHARACTERS_MAX`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Protocol

from corral.guard.json_text import JsonError, read_json
from corral.guard.tool_frames import CLOSE, OPEN

CALL_CHARACTERS_MAX: Final = 64 * 1024
_SPACE_MAX: Final = 16
_SPACE: Final = f"[ \t\r\n]{{0,{_SPACE_MAX}}}"
_BEGUN: Final = re.compile(
    f"{_SPACE}(?:{'|'.join(re.escape(OPEN[:n]) for n in range(len(OPEN), 0, -1))})?\\Z"
)
_FRAME: Final = re.compile(_SPACE + OPEN)
_OUTSIDE: Final = re.compile('["<]')
_INSIDE: Final = re.compile('["\\\\\n\r]')


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call as a model has written it."""

    name: str
    arguments: dict[str, object]


class Malformed:
    """What was begun as a call, and is none."""


Piece = str | Wanted | Malformed
_MEMBERS: Final = frozenset({"name", "arguments"})


class CallParser(Protocol):
    """Takes an answer apart."""

    def feed(self, text: str) -> list[Piece]:
        """Return texts and calls, in their order, as far as they are whole."""

    def flush(self) -> list[Piece]:
        """Return what was held back when the answer ended."""


class FramedCalls:
    """An answer in which calls stand in frames, between texts."""

    def __init__(self) -> None:
        self._held = ""
        self._body: list[str] | None = None  # of the frame that is open
        self._size = 0  # characters of it
        self._in_string = False
        self._is_broken = False
        self._has_called = False

    def feed(self, text: str) -> list[Piece]:
        """See `CallParser`."""
        found: list[Piece] = []
        text, self._held = self._held + text, ""
        while text:
            text = self._outside(text, found) if self._body is None else self._inside(text, found)
        return found

    def flush(self) -> list[Piece]:
        """See `CallParser`; a call whose end alone is missing is whole."""
        held, self._held = self._held, ""
        if self._body is not None:
            body, self._body = "".join((*self._body, held)), None
            return [] if self._is_broken else [_call(body)]
        if self._has_called:
            held = held.rstrip(" \t\r\n")
        return [held] if held else []

    def _outside(self, text: str, found: list[Piece]) -> str:
        """Take the text before the next frame; return what is not yet looked at."""
        frame = _FRAME.search(text)
        if frame is None:
            begun = _BEGUN.search(text)
            cut = begun.start() if begun else len(text)
            text, self._held = text[:cut], text[cut:]
            if text:
                found.append(text)
            return ""
        if frame.start():
            found.append(text[: frame.start()])
        self._body, self._size = [], 0
        self._in_string = self._is_broken = False
        return text[frame.end() :]

    def _inside(self, text: str, found: list[Piece]) -> str:
        """Take text of the open frame; return what is not yet looked at."""
        if self._is_broken:
            return self._close(text)
        end, is_end = self._scan(text)
        if is_end:
            self._keep(text[:end])
            found.append(_call("".join(self._body or ())))
            return self._close(text[end:])
        if end < 0 or self._size + end > CALL_CHARACTERS_MAX:
            self._is_broken = True
            self._body = []
            found.append(Malformed())
            return self._close(text[min(-end - 1 if end < 0 else end, self._room) :])
        self._keep(text[:end])
        self._held = text[end:]
        return ""

    @property
    def _room(self) -> int:
        return CALL_CHARACTERS_MAX - self._size

    def _scan(self, text: str) -> tuple[int, bool]:
        """Return how much of a text belongs to the call, and whether its end follows.

        Where it is broken: -1 less the place.
        """
        at = 0
        while sign := (_INSIDE if self._in_string else _OUTSIDE).search(text, at):
            at = sign.start()
            if sign[0] == "<":
                if at <= self._room and text.startswith(CLOSE, at):
                    return at, True
                if CLOSE.startswith(text[at:]):
                    return at, False
            elif sign[0] == '"':
                self._in_string = not self._in_string
            elif sign[0] != "\\" or text[at + 1 : at + 2] in {"\r", "\n"}:
                return -1 - at, False
            elif at + 1 == len(text):
                return at, False
            else:
                at += 1
            at += 1
        return len(text), False

    def _close(self, text: str) -> str:
        """Leave the frame where its end comes; what is before that is dropped."""
        at = text.find(CLOSE)
        if at < 0:
            self._held = text[len(text) - _begun(text) :]
            return ""
        self._body = None
        self._has_called = True
        return text[at + len(CLOSE) :]

    def _keep(self, text: str) -> None:
        if self._body is not None:
            self._body.append(text)
            self._size += len(text)


class ForcedCalls:
    """An answer that is a call, or a list of calls, and nothing else.

    Args:
        several: it is a list.
    """

    def __init__(self, *, several: bool) -> None:
        self._several = several
        self._texts: list[str] = []
        self._size = 0

    def feed(self, text: str) -> list[Piece]:
        """See `CallParser`; nothing is told before the end."""
        self._size += len(text)
        if self._size <= CALL_CHARACTERS_MAX:
            self._texts.append(text)
        return []

    def flush(self) -> list[Piece]:
        """See `CallParser`."""
        text = "".join(self._texts)
        self._texts.clear()
        if self._size > CALL_CHARACTERS_MAX:
            return [Malformed()]
        if not self._several:
            return [_call(text)]
        found = _read(text)
        return [_wanted(one) for one in found] if isinstance(found, list) else [Malformed()]


def _call(text: str) -> Piece:
    return _wanted(_read(text))


def _wanted(found: Any) -> Piece:
    if not isinstance(found, dict) or "name" not in found or not found.keys() <= _MEMBERS:
        return Malformed()
    name, arguments = found["name"], found.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return Malformed()
    return Wanted(name, arguments)


def _read(text: str) -> Any:
    try:
        return read_json(text)
    except JsonError:
        return None


def _begun(text: str) -> int:
    """Return how many characters at the end of a text may begin the end of a frame."""
    return next((n for n in range(len(CLOSE) - 1, 0, -1) if text.endswith(CLOSE[:n])), 0)
