"""Where a Markdown answer is code, which is shown and never followed.

Trust: gateway [net]; pure. Input: hostile text, piece by piece. Readers of Markdown differ, and a
hostile answer is written for the one that differs. So only what every reader takes for code counts
(CommonMark 0.31, sections 4.4 to 4.6 and 6.1): fences that begin a line with at most three spaces,
and spans that begin and end in one line of a paragraph without loose ends. At the first line that
could be read in two ways the rest of the answer counts as no code.
"""

from __future__ import annotations

import re
from typing import Final

_LINE_CHARACTERS: Final = 300
_FENCE: Final = re.compile(r"( {0,3})(?:(`{3,})[^`]*|(~{3,}).*)")
_FENCE_LIKE: Final = re.compile(r"`{3}|~{3}")
_MARKUP_LINE: Final = re.compile(r"[\s>*+\-0-9.)]*<")
_BLANK: Final = " \t\r"


class CodeTracker:
    """The state of one answer.

    Attributes:
        span: number of backticks of the span that may be open in this line; 0 if there is none.
    """

    def __init__(self) -> None:
        self.span = 0
        self._fence: tuple[str, int, int] | None = None  # character, length, indentation
        self._lost = False
        self._markup = False  # a block of markup may be open: a blank line ends it
        self._loose = False  # this paragraph has ends that may belong together
        self._line = ""
        self._last = ""

    def text(self, piece: str) -> None:
        """Take a piece of a line."""
        if piece:
            self._line = (self._line + piece)[: _LINE_CHARACTERS + 1]
            self._last = piece[-1]

    def loosen(self) -> None:
        """Note something in this paragraph that may hide a backtick."""
        self._loose = True

    def run(self, length: int) -> None:
        """Take a run of backticks outside of a fence."""
        if self.span == length:
            self.span = 0
        elif not self.span:
            if self._last == "\\":
                self._loose = True
            else:
                self.span = length

    @property
    def in_fence(self) -> bool:
        """Return whether this place of the line, which is no space, is in a fence."""
        if self._lost or self._fence is None:
            return False
        if _indentation(self._line) < self._fence[2]:
            # Whatever it was in may have ended, and the fence with it.
            self._lost = True
        return not self._lost

    @property
    def may_be_span(self) -> bool:
        """Return whether this place is in a span if the span ends in this line."""
        return bool(self.span) and not self._loose and not self._lost

    def end_line(self) -> bool:
        """Take the end of a line; return whether the line was blank."""
        line = self._line.removesuffix("\r")
        blank = not line.strip(_BLANK)
        if "\r" in line or (len(line) > _LINE_CHARACTERS and _FENCE_LIKE.search(line)):
            self._lost = True
        elif self._fence is not None:
            if not blank:
                self._in_fence_line(line, *self._fence)
        else:
            self._plain_line(line, blank=blank)
        if self.span:
            self._loose = True
        if blank:
            self._loose = self._markup = False
        self.span, self._line, self._last = 0, "", ""
        return blank

    def _in_fence_line(self, line: str, mark: str, length: int, indentation: int) -> None:
        bare = line.strip(_BLANK)
        if _indentation(line) < indentation:
            self._lost = True
        elif len(bare) >= length and bare == mark * len(bare):
            self._fence = None
            if _indentation(line) > 3 or "\t" in line:
                self._lost = True

    def _plain_line(self, line: str, *, blank: bool) -> None:
        if blank:
            return
        if _MARKUP_LINE.match(line):
            self._markup = True
        found = _FENCE.fullmatch(line)
        if found and not self._markup:
            run = found[2] or found[3]
            self._fence = (run[0], len(run), len(found[1]))
            self.span = 0
        elif _FENCE_LIKE.search(line):
            self._lost = True


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
