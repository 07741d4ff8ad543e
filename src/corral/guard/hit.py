"""A place of a text that a scanner knows to be a secret or somebody's personal data.

Trust: gateway [net] and command line; pure. A hit names no part of the text.

Scanners read whole texts and answers that come in pieces with the same code, so that where an
answer is cut changes nothing. What makes that true is a bound: whether a hit begins at a place is
decided by at most `LOOK_BEHIND` characters before it and `LOOK_AHEAD` after it; what follows the
decided part of an open one (the rest of a token, however long) is a run of one set of characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

LOOK_AHEAD: Final = 128
LOOK_BEHIND: Final = 160


class Tail:
    """The characters that go on with a hit, however long.

    Args:
        members: of it.
        joints: go on with it too, one at a time and only before a member: the dot of a host, not
            the one that ends a sentence.
    """

    __slots__ = ("_joints", "_run")

    def __init__(self, members: Iterable[str], joints: str = "") -> None:
        inner = "[" + "".join(map(re.escape, sorted(members))) + "]"
        joint = f"|[{re.escape(joints)}](?={inner})" if joints else ""
        self._run = re.compile(f"(?:{inner}+{joint})*")
        self._joints = frozenset(joints)

    def end(self, text: str, start: int) -> int:
        """Return where a tail ends that begins at `start`."""
        found = self._run.match(text, start)
        return found.end() if found else start

    def may_go_on(self, text: str, end: int) -> bool:
        """Return whether what comes after `text` decides if the tail ends at `end`."""
        return end >= len(text) - (text[-1:] in self._joints)


@dataclass(frozen=True, slots=True)
class Hit:
    """One place.

    Attributes:
        kind: `secret`, `payment_card`, ...; of answers they are called `output_secret`, ...
        start: first character, in code points.
        end: one past the last character.
        note: of what format; a name of our tables.
        tail: what may go on with it past the end of the text; None if it ends at `end`.
    """

    kind: str
    start: int
    end: int
    note: str
    tail: Tail | None = None


class Scanner(Protocol):
    """Finds hits of some kinds."""

    def hits(self, text: str, start: int, stop: int) -> Iterator[Hit]:
        """Yield the hits that begin from `start` to before `stop`, in any order.

        Args:
            text: with what is before `start` and after `stop`, as far as it is known.
            start: first place to look at.
            stop: the first place not to look at.
        """

    def held_from(self, text: str) -> int:
        """Return the first place at which a hit may begin or go on in what has not come yet."""


_RANK: Final = {
    kind: rank
    for rank, kind in enumerate((
        "secret", "credential", "payment_card", "bank_account", "national_id", "email_address",
        "phone_number", "ip_address", "private_term", "remote_link",
    ))
}  # fmt: skip
"""Of two hits that begin together the first of these counts, not the longer one: how long an open
one is may not have been seen yet."""


def hits_in_order(scanners: Sequence[Scanner], text: str, start: int, stop: int) -> Iterator[Hit]:
    """Yield the hits that begin from `start` to before `stop`: the first, the first after it, ...

    What a hit hides that is itself hidden by another one is looked for again, so that the hits are
    the same wherever the looking begins.
    """
    waiting = _sorted(hit for one in scanners for hit in one.hits(text, start, stop))
    seen = set(waiting)
    at = start
    while waiting:
        hit = waiting.pop()
        if hit.start >= at:
            at = hit.end
            yield hit
        elif hit.end > at:
            upto = min(stop, hit.end)
            hidden = {found for one in scanners for found in one.hits(text, at, upto)} - seen
            if hidden:
                seen |= hidden
                waiting = _sorted((*waiting, *hidden))


def _sorted(hits: Iterable[Hit]) -> list[Hit]:
    """Return hits with the first one at the end."""
    return sorted(hits, key=lambda one: (-one.start, -_RANK[one.kind], one.end, one.note))
