"""Classes of characters: scripts, combining marks, and what nobody sees.

Trust: gateway [net] and command line; pure. The tables are Unicode's, version 15.0.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from typing import Final

from corral.guard.mark_table import MARK_ROWS
from corral.guard.script_table import SCRIPT_ROWS

TAGS: Final = "\U000e0000-\U000e007f"
"""Tag characters: each is the ASCII character of its last seven bits, and shown by nothing."""

SELECTORS: Final = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
"""Variation selectors: 256 of them, so a run of them is a run of bytes that nobody sees."""

BIDI: Final = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Marks, embeddings, overrides and isolates that change the order in which text is shown."""

UNSEEN: Final = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f"
    "\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0080-\U000e00ff\U000e01f0-\U000e0fff"
)
"""What else has no width: joiners, fillers, soft hyphens, and what is ignorable by default."""

_JOINED: Final = (
    "Adlam Arabic Balinese Bengali Devanagari Gujarati Gurmukhi Hanifi_Rohingya Javanese Kannada "
    "Khmer Lao Malayalam Mandaic Manichaean Mongolian Myanmar Nko Oriya Phags_Pa Sinhala Sogdian "
    "Syriac Tai_Tham Tamil Telugu Thai Tibetan Tirhuta "
)
JOINED_SCRIPTS: Final = frozenset(_JOINED.split())
"""Where a joiner or a non-joiner between letters is part of how words are written."""


def _ranges(rows: str) -> list[list[str]]:
    return [row.split() for row in rows.split(";") if row.strip()]


MARKS: Final = "".join(
    f"{chr(int(first, 16))}-{chr(int(last, 16))}" for first, last in _ranges(MARK_ROWS)
)
"""Combining characters, for a class of a regular expression."""

MARK_CHARACTERS: Final = "".join(
    chr(number)
    for first, last in _ranges(MARK_ROWS)
    for number in range(int(first, 16), int(last, 16) + 1)
)
_MARK_SET: Final = frozenset(MARK_CHARACTERS)


def has_marks(text: str) -> bool:
    """Return whether a text has a combining character.

    For whoever would search for some: a class with characters beyond the basic plane is tried range
    by range at each character, at twenty times the cost of this look.
    """
    return not _MARK_SET.isdisjoint(text)


_SCRIPTS: Final = [(int(a, 16), int(b, 16), name) for a, b, name in _ranges(SCRIPT_ROWS)]
_STARTS: Final = [start for start, _, _ in _SCRIPTS]
SCRIPT_NAMES: Final = frozenset(name for _, _, name in _SCRIPTS)
"""What a policy may name as an allowed script."""


def script_of(character: str) -> str:
    """Return the script of a character, or "" if it is of many or of none."""
    number = ord(character)
    at = bisect_right(_STARTS, number) - 1
    if at < 0:
        return ""
    _, end, name = _SCRIPTS[at]
    return name if number <= end else ""


@cache
def outside_of(scripts: frozenset[str]) -> str:
    """Return a class of a regular expression: letters of every script but these.

    Raises:
        ValueError: a name is none of `SCRIPT_NAMES`.
    """
    if unknown := scripts - SCRIPT_NAMES:
        raise ValueError(f"no script of Unicode is called {min(unknown)}")
    return "".join(f"{chr(a)}-{chr(b)}" for a, b, name in _SCRIPTS if name not in scripts)
