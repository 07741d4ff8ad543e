"""Placeholders of one request: they stand for personal data that the model is not to read.

Trust: gateway [net]; pure. Input: hostile texts; answers of a hostile model. A placeholder holds a
random word of the request, which was in none of its texts: nobody who wrote one of them can forge
it, and it never stands for what it does not mean. It lives as long as the request, in memory.

In the answer it is turned back into what it stands for, but for what only the system prompt held:
whoever asks a model for its instructions gets the placeholder.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from corral.guard.finding import Origin
from corral.guard.special_tokens import ControlTokens

_LETTERS: Final = "BCDFGHJKMNPQRSTVWXZ23456789"
_LENGTH: Final = 10
"""Some 47 bits."""
_NAMES: Final[Mapping[str, str]] = {
    "payment_card": "CARD", "bank_account": "ACCOUNT", "national_id": "ID",
    "email_address": "EMAIL", "phone_number": "PHONE", "ip_address": "ADDRESS",
    "private_term": "NAME",
}  # fmt: skip


class Placeholders:
    """What was hidden in one request.

    Args:
        texts: of the request; the random word is in none of them.
        new_word: makes a random word.

    Attributes:
        restored: what comes back in the answer, by its placeholder.
    """

    def __init__(self, texts: Sequence[str], new_word: Callable[[], str] | None = None) -> None:
        new_word = new_word or _new_word
        self._word = new_word()
        while any(self._word in text for text in texts):
            self._word = new_word()
        self._made: dict[tuple[str, str], str] = {}
        self.restored: dict[str, str] = {}

    def hide(self, kind: str, value: str, origin: Origin) -> str:
        """Return what stands for a value; the same for the same."""
        made = self._made.setdefault(
            (kind, value), f"{_NAMES[kind]}-{len(self._made) + 1}-{self._word}"
        )
        if origin != "system":
            self.restored[made] = value
        return made


class Restoration:
    """One answer in which placeholders are turned back, whatever its chunk borders.

    Args:
        restored: of `Placeholders`.
    """

    __slots__ = ("_held", "_restored", "_texts")

    stopped = False

    def __init__(self, restored: Mapping[str, str]) -> None:
        self._restored = restored
        self._texts = ControlTokens(tuple(restored))
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what may go out now; it may be empty."""
        return self._advance(self._held + text, last=False)

    def flush(self) -> str:
        """Return what was held back when the answer ended."""
        return self._advance(self._held, last=True)

    def _advance(self, text: str, *, last: bool) -> str:
        out: list[str] = []
        at = 0
        for start, end in self._texts.spans(text):
            out += (text[at:start], self._restored[text[start:end]])
            at = end
        rest = text[at:]
        cut = len(rest) if last else self._texts.held_from(rest)
        self._held = rest[cut:]
        return "".join((*out, rest[:cut]))


def _new_word() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
