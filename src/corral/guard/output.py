"""A model's answer on its way out: control tokens replaced across chunk borders.

Trust: gateway [net]. Input: hostile text of a worker, piece by piece, already valid Unicode. Held
back is only an end that could still become a control token: fewer characters than the longest one.
"""

from __future__ import annotations

from corral.guard.special_tokens import ControlTokens


class OutputFilter:
    """One answer's hold-back window."""

    __slots__ = ("_held", "_tokens")

    def __init__(self, tokens: ControlTokens) -> None:
        self._tokens = tokens
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what may go out now; it may be empty."""
        if not self._held and self._tokens.harmless(text):
            return text
        text = self._tokens.replace(self._held + text)
        cut = self._tokens.held_from(text)
        self._held = text[cut:]
        return text[:cut]

    def flush(self) -> str:
        """Return what was held back when the answer ended: it can no longer become a token."""
        text, self._held = self._held, ""
        return text
