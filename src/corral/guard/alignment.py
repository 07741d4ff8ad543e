"""Where a character of a rewritten text was in the text that it came from.

Trust: gateway [net] and command line; pure. Input: edits of a stage of ours, of a hostile text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from corral.guard.finding import Edit


class Alignment:
    """The places of one rewriting.

    Args:
        edits: what was done, in order and without overlap.
    """

    __slots__ = ("_edits", "_starts")

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits: list[tuple[int, int, Edit]] = []  # start after, end after
        moved = 0
        for edit in edits:
            start = edit.start + moved
            self._edits.append((start, start + len(edit.text), edit))
            moved += len(edit.text) - (edit.end - edit.start)
        self._starts = [start for start, _, _ in self._edits]

    def before(self, place: int, *, is_end: bool = False) -> int:
        """Return the place before the rewriting.

        Args:
            place: a place after it, in code points.
            is_end: it is the end of a span; where the text is new, a span grows to what was there.
        """
        at = bisect_right(self._starts, place - is_end) - 1
        if at < 0:
            return place
        _, end, edit = self._edits[at]
        if place < end or (place == end and is_end):
            return edit.end if is_end else edit.start
        return place - end + edit.end


def apply(text: str, edits: Sequence[Edit]) -> str:
    """Return a text with edits made.

    Raises:
        ValueError: an edit is out of order, out of the text, or overlaps another.
    """
    pieces: list[str] = []
    reached = 0
    for edit in edits:
        if not reached <= edit.start <= edit.end <= len(text):
            raise ValueError("an edit is out of order or out of the text")
        pieces += (text[reached : edit.start], edit.text)
        reached = edit.end
    pieces.append(text[reached:])
    return "".join(pieces)
