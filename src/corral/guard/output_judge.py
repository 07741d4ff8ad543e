"""What was seen in one answer on its way out, and whether the answer goes on.

Trust: gateway [net]; pure. Nothing of an answer's text is kept here.

A step of the way out takes text piece by piece (`feed`) and gives back what may go on to the next
step; `flush` gives what it held back when the answer has ended. Each gives the same text in all,
wherever the answer was cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from corral.guard.finding import Handling


class OutputStep(Protocol):
    """One step of the way out of one answer."""

    def feed(self, text: str) -> str:
        """Return what may go on now; it may be empty."""

    def flush(self) -> str:
        """Return what was held back when the answer ended."""


class OutputJudge:
    """One answer's findings.

    Args:
        handling: what is done with each kind.

    Attributes:
        seen: how often each kind was found.
        stopped: the kind that ended the answer; None while it goes on.
    """

    def __init__(self, handling: Mapping[str, Handling]) -> None:
        self.seen: Counter[str] = Counter()
        self.stopped: str | None = None
        self._handling = handling

    def wants(self, kind: str) -> bool:
        """Return whether a kind is looked for at all."""
        return self._handling[kind] is not Handling.ALLOW

    def changes(self, kind: str) -> bool:
        """Return whether what is found of a kind does not go on as it is."""
        return self._handling[kind] in {Handling.CLEAN, Handling.REFUSE}

    def found(self, kind: str) -> Handling:
        """Count a finding, and return what is done with it; one that is refused ends the answer."""
        self.seen[kind] += 1
        handling = self._handling[kind]
        if handling is Handling.REFUSE and self.stopped is None:
            self.stopped = kind
        return handling
