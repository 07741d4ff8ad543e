"""Secrets and personal data taken out of an answer on its way, whatever its chunk borders.

Trust: gateway [net]. Input: a hostile answer, piece by piece. Held back is only an end in which a
hit may begin or go on, at most `hit.LOOK_AHEAD` characters; the rest of a long hit is dropped as it
comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from corral.guard.hit import LOOK_AHEAD, LOOK_BEHIND, Hit, Scanner, Tail, hits_in_order


class Redaction:
    """One answer's window.

    Args:
        scanners: what to look for.
        found: is told each hit, and returns what stands in its place; None ends the answer.

    Attributes:
        stopped: the answer has ended; nothing goes out any more.
    """

    def __init__(self, scanners: Sequence[Scanner], found: Callable[[Hit], str | None]) -> None:
        self.stopped = False
        self._scanners = scanners
        self._found = found
        self._text = ""
        self._done = 0  # characters of it that have been decided; kept to look behind
        self._tail: Tail | None = None

    def feed(self, text: str) -> str:
        """Return what may go out now; it may be empty."""
        return self._advance(text, last=False)

    def flush(self) -> str:
        """Return what was held back when the answer ended."""
        return self._advance("", last=True)

    def _advance(self, text: str, *, last: bool) -> str:
        if self.stopped:
            return ""
        self._text += text
        if self._tail is not None and not self._drop_tail(self._tail, last=last):
            return ""
        text, start = self._text, self._done
        stop = len(text)
        if not last:
            held = min((one.held_from(text) for one in self._scanners), default=stop)
            stop = max(start, min(held, stop), stop - LOOK_AHEAD)
        out: list[str] = []
        at = start
        for hit in hits_in_order(self._scanners, text, start, stop):
            out.append(text[at : hit.start])
            mark = self._found(hit)
            at = hit.end
            if mark is None:
                self.stopped = True
                self._text = ""
                return "".join(out)
            out.append(mark)
            if hit.tail is not None and not last and hit.tail.may_go_on(text, hit.end):
                self._tail = hit.tail
        # What may still belong to the last hit waits, even where it is only a joint.
        stop = at if self._tail is not None else max(stop, at)
        out.append(text[at:stop])
        low = max(0, stop - LOOK_BEHIND)
        self._text, self._done = text[low:], stop - low
        return "".join(out)

    def _drop_tail(self, tail: Tail, *, last: bool) -> bool:
        """Drop what goes on with the last hit; return whether its end has come."""
        end = tail.end(self._text, self._done)
        goes_on = not last and tail.may_go_on(self._text, end)
        low = max(0, end - LOOK_BEHIND)
        self._text, self._done = self._text[low:], end - low
        if goes_on:
            return False
        self._tail = None
        return True
