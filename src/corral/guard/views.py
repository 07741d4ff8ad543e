"""Scan views: the ways in which a text may be read, for rules and detectors.

Trust: gateway [net] and command line; pure, detection only: nothing of it reaches a model. Input:
untrusted text, bounded by the request. Bounded are how many views there are (`VIEWS_MAX`), how deep
encodings are undone (`NESTING_MAX`) and how long all are together (`GROWTH_MAX` times the text).

A view exists only if it says something else than those before it, so plain text has one view and
costs one look. Source of the list: research/guards.md 4; measured in docs/sanitation.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, cast

import re2

from corral.guard.characters import MARK_CHARACTERS, MARKS, has_marks
from corral.guard.decoders import decoded
from corral.guard.fold_table import FOLD_ROWS
from corral.guard.unseen import UNSEEN_RUN, payload
from corral.guard.words import READINGS, divided, hits, speaks, unread

VIEWS_MAX: Final = 12
NESTING_MAX: Final = 3
GROWTH_MAX: Final = 6
_NFKC_GROWTH_MAX: Final = 4

_FOLD: Final = {
    int(other, 16): plain
    for plain, *others in (row.split() for row in FOLD_ROWS.split(";") if row.strip())
    for other in others
}
_LEET: Final = str.maketrans("013457@$!|+", "oieastasiit")
_LEET_ELSE: Final = str.maketrans("13457@$!|869", "leastasilbgg")
_LEET_WORD: Final = re2.compile(r"[a-z0-9@$!|+]*(?:[a-z][0-9@$!|+]|[0-9@$!|+][a-z])[a-z0-9@$!|+]*")
_SPACED_GATE: Final = re2.compile(r"(?:[^\W_][ .\-_*|/,~+]{1,3}){4}[^\W_][^a-z0-9]")
_SEGMENT: Final = re.compile(r"[^\n.!?;]+[\n.!?;]*")
_SPACED: Final = re.compile(r"(?:(?<![^\W_])[^\W_][ .\-_*|/,~+]{1,3}){4,}[^\W_](?![^\W_])")
_GAP: Final = re.compile(r"[ .\-_*|/,~+]{2,3}")
_BEYOND: Final = re.compile("(?<![^\\sa-z0-9])[^\x00-\u02ff]+")
"""What stands after ASCII, a space or nothing and is neither; the first mark is U+0300."""
_FOREIGN: Final = re.compile("[^\x00-\x7f]{1,64}")
_SPACE: Final = re.compile(r"(\s+)")


ViewName = Literal[
    "raw", "tags", "selectors", "plain", "decoded", "leet", "spaced", "shifted", "mirrored",
    "reversed",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text.

    Attributes:
        name: how it was made.
        text: what it says then.
    """

    name: ViewName
    text: str


def views(text: str) -> tuple[View, ...]:
    """Return the text itself, then what else it can be read as."""
    made = _Made(text)
    if not text.isascii():
        for hidden, payloads in _payloads(text):
            made.add(hidden, payloads)
    bare = _bare(text)
    folded = _folded_words(bare)
    made.add("plain", folded)
    for source in (bare, *(view.text for view in made.views[1:])):
        inner = _unpacked(source)
        if inner != source:
            made.add("decoded", plain(inner))
    # Texts that look the same are looked at once.
    lows = (folded if view.text in {text, folded} else plain(view.text) for view in made.views)
    for low in dict.fromkeys(lows):
        for name in unread(low):
            made.add(cast("ViewName", name.split("-")[0]), _segments(low, READINGS[name]))
        made.add("leet", _unleet(low))
        if _SPACED_GATE.search(low):
            made.add("spaced", _SPACED.sub(_joined, low))
    return made.views


class _Made:
    """Views so far, each once, within the bounds."""

    def __init__(self, text: str) -> None:
        self._views = [View("raw", text)]
        self._known = {_same(text)}
        self._room = GROWTH_MAX * len(text) + 256

    @property
    def views(self) -> tuple[View, ...]:
        return tuple(self._views)

    def add(self, name: ViewName, text: str) -> None:
        key = _same(text)
        if not key or key in self._known or len(self._views) >= VIEWS_MAX or len(text) > self._room:
            return
        self._room -= len(text)
        self._known.add(key)
        self._views.append(View(name, text))


def _same(text: str) -> str:
    return " ".join(text.casefold().split())


def plain(text: str) -> str:
    """Return a text in lower case as it looks: without what is unseen, look-alikes as ASCII."""
    return _folded_words(_bare(text))


def _bare(text: str) -> str:
    """Return a text without what is unseen, in NFKC."""
    if text.isascii():
        return text
    foreign = "".join(_FOREIGN.findall(text))  # where to look, at a tenth of the whole text's cost
    if UNSEEN_RUN.search(foreign):
        text = UNSEEN_RUN.sub("", text)
    if has_marks(foreign):
        text = _WITHOUT_FLOODS.sub(r"\1", text)
    flat = unicodedata.normalize("NFKC", text)
    return flat if len(flat) <= len(text) * _NFKC_GROWTH_MAX else text


def _folded_words(text: str) -> str:
    if text.isascii():
        return text.lower()
    low = text.casefold()
    pieces = _SPACE.split(low)
    # Each word once: kept for this text alone, since a longer memory would hold one tenant's words
    # while another's are looked at.
    known = {piece: _folded_word(piece) for piece in set(pieces) if not piece.isascii()}
    return "".join([known.get(piece, piece) for piece in pieces]) if known else low


def _folded_word(word: str) -> str:
    bare = _FOREIGN.sub(lambda found: _folded_run(found[0]), word)
    return bare if bare.isascii() else _in_one_script(word, bare)


def _folded_run(run: str) -> str:
    """Return characters that are no ASCII as they look, without the marks of what now is."""
    folded = unicodedata.normalize("NFKD", run).translate(_FOLD)
    return _BEYOND.sub(lambda found: found[0].lstrip(MARK_CHARACTERS), folded)


def _in_one_script(word: str, bare: str) -> str:
    """Return one word in ASCII if most of it can be so: else it is a word of its own script."""
    letters = [c for c in bare if c.isalpha()]
    foreign = sum(not c.isascii() for c in letters)
    return bare if foreign * 4 <= len(letters) else word


_WITHOUT_FLOODS: Final = re.compile(f"([{MARKS}][{MARKS}]{{3}})[{MARKS}]+")


def _payloads(text: str) -> list[tuple[ViewName, str]]:
    """Return what tags and what variation selectors spell, wherever they stand."""
    runs = UNSEEN_RUN.findall("".join(_FOREIGN.findall(text)))
    tags = "".join(c for run in runs for c in run if 0xE0000 <= ord(c) <= 0xE007F)
    rest = "".join(c for run in runs for c in run if not 0xE0000 <= ord(c) <= 0xE007F)
    return [("tags", payload(tags)), ("selectors", payload(rest).strip("\x0e\x0f"))]


def _unpacked(text: str) -> str:
    for _ in range(NESTING_MAX):
        inner = decoded(text)
        if inner == text:
            break
        text = inner
    return text


def _segments(low: str, reading: Callable[[str], str]) -> str:
    """Return the text read so if it is written so, else those of its sentences that are."""
    whole = reading(low)
    if speaks(whole) and hits(whole) > 2 * hits(low):
        return whole
    found = []
    for match in _SEGMENT.finditer(low):
        segment = match[0]
        read = reading(segment)
        if read != segment and speaks(read) and hits(read) > hits(segment):
            found.append(read.strip())
    return " ".join(found)


def _unleet(low: str) -> str:
    """Return the text with digits and signs in its words as letters, if that makes known words."""
    words = set(_LEET_WORD.findall(low))
    table = _LEET if sum(hits(w.translate(_LEET)) for w in words) else _LEET_ELSE
    if not any(hits(w.translate(table)) for w in words):
        return ""
    return str(_LEET_WORD.sub(lambda word: word[0].translate(table), low))


def _joined(found: re.Match[str]) -> str:
    words = _GAP.split(found[0]) if _GAP.search(found[0]) else [found[0]]
    joined = ["".join(c for c in word if c.isalnum()) for word in words]
    if all(len(word) <= 1 for word in joined):  # wide gaps everywhere: they part letters
        joined = ["".join(joined)]
    return " ".join(divided(word) if len(word) > 12 else word for word in joined)
