"""Answers that never end: loops of the same characters, and more than the policy allows.

Trust: gateway [net]. Input: a hostile answer, piece by piece; nothing is held back. Looked at is
each time another `_STEP` characters have come, counted from the answer's beginning: whether the
last `_WINDOW` are one piece of at most `_PERIOD_MAX` again and again.
"""

from __future__ import annotations

from typing import Final

from corral.guard.finding import Handling
from corral.guard.output_judge import OutputJudge

_STEP: Final = 256
_WINDOW: Final = 2048
_PERIOD_MAX: Final = 128


class LoopWatch:
    """Ends an answer that runs in a circle."""

    def __init__(self, judge: OutputJudge) -> None:
        self._judge = judge
        self._last = ""
        self._until_look = _STEP
        self._told = False

    def feed(self, text: str) -> str:
        """Return the text, or what of it is before the end."""
        if self._told:
            return text
        at = 0
        while len(text) - at >= self._until_look:
            end = at + self._until_look
            self._last = (self._last + text[at:end])[-_WINDOW:]
            at, self._until_look = end, _STEP
            if is_loop(self._last):
                self._told = True
                return text[:end] if self._judge.found("repetition") is Handling.REFUSE else text
        self._last = (self._last + text[at:])[-_WINDOW:]
        self._until_look -= len(text) - at
        return text

    def flush(self) -> str:
        """Return nothing: nothing is held back."""
        return ""


def is_loop(text: str) -> bool:
    """Return whether a text of `_WINDOW` characters is one short piece again and again."""
    if len(text) < _WINDOW:
        return False
    period = text.find(text[: _WINDOW // 2], 1)
    return 0 < period <= _PERIOD_MAX and text[period:] == text[:-period]


class LengthWatch:
    """Ends an answer that is longer than a policy allows.

    Args:
        judge: of the answer.
        characters: the most it may have.
    """

    def __init__(self, judge: OutputJudge, characters: int) -> None:
        self._judge = judge
        self._left = characters
        self._told = False

    def feed(self, text: str) -> str:
        """Return the text, or what of it is before the end."""
        if self._told or len(text) <= self._left:
            self._left -= len(text)
            return text
        self._told = True
        return text[: self._left] if self._judge.found("long_output") is Handling.REFUSE else text

    def flush(self) -> str:
        """Return nothing: nothing is held back."""
        return ""
