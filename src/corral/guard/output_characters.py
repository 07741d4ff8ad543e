"""Characters of an answer that drive a terminal, or that no text has.

Trust: gateway [net]. Input: a hostile answer, piece by piece; nothing is held back. An escape
character starts every ANSI sequence (colours, titles, links, the clipboard), and C1 controls do so
alone (ECMA-48). Replaced, an answer can also go back into the next request, which refuses them.
For a terminal, what turns the order of characters and a carriage return that hides a line go too.
"""

from __future__ import annotations

import re
from typing import Final

from corral.guard.finding import Handling
from corral.guard.output_judge import OutputJudge
from corral.guard.special_tokens import REPLACEMENT

_CONTROLS: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff"
_ANYWHERE: Final = re.compile(f"[{_CONTROLS}]")
_TERMINAL: Final = re.compile(rf"[{_CONTROLS}\r\u202a-\u202e\u2066-\u2069\u2028\u2029]")


class ControlCharacters:
    """Replaces them one by one by U+FFFD."""

    def __init__(self, judge: OutputJudge, *, terminal: bool) -> None:
        self._judge = judge
        self._pattern = _TERMINAL if terminal else _ANYWHERE

    def feed(self, text: str) -> str:
        """Return the text without them."""
        found = self._pattern.search(text)
        if found is None:
            return text
        out: list[str] = []
        at = 0
        while found is not None:
            out.append(text[at : found.start()])
            at = found.end()
            # A carriage return is no finding: many texts have one before a line feed.
            if found[0] == "\r":
                out.append("")
            else:
                handling = self._judge.found("control_character")
                if handling is Handling.REFUSE:
                    return "".join(out)
                out.append(found[0] if handling is Handling.REPORT else REPLACEMENT)
            found = self._pattern.search(text, at)
        return "".join((*out, text[at:]))

    def flush(self) -> str:
        """Return nothing: nothing is held back."""
        return ""
