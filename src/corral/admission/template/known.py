"""The catalogue of known good templates: digests of upstream templates that were reviewed by rule.

Trust: scan jail and operator side; package data, made by scripts/template_catalogue.py. A template
of the catalogue needs no further proof. Of each only its digest and those of its lines are kept:
enough to know it again, and to say which lines of another are not in it.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

LINE_DIGEST_BYTES: Final = 10
"""Of each line: 80 bits leave nobody a line that passes for one of the catalogue's."""
SHOWN_LINES: Final = 40
SHOWN_CHARS: Final = 160
_ALIKE_MIN: Final = 0.3


class KnownTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry.

    Attributes:
        sha256: of the normal form.
        family: templates that are variants of each other have the same.
        source: artifact and member that it was taken from.
        licence: of the artifact; the template is under its model's.
        review: why it is here although the analyser has findings; empty if it has none.
        lines: digests of its lines, base64.
    """

    sha256: str
    name: str
    family: str
    source: str
    licence: str
    review: str
    lines: str


class Nearest(msgspec.Struct, frozen=True):
    """The entry that a template is most like.

    Attributes:
        added: lines of the template that the entry has not, escaped and cut.
        missing: how many lines of the entry the template has not.
    """

    name: str
    added: tuple[str, ...]
    missing: int


def known_template(sha256: str) -> KnownTemplate | None:
    """Return the entry of that digest."""
    return _catalogue().get(sha256)


def nearest_template(text: str) -> Nearest | None:
    """Return the most similar entry and the difference, or None if none is alike."""
    own = _line_digests(text)
    best, best_score = None, _ALIKE_MIN
    for entry in _catalogue().values():
        its = _lines_of(entry.sha256)
        score = len(its & own.keys()) / max(1, len(its | own.keys()))
        if score >= best_score:
            best, best_score = entry, score
    if best is None:
        return None
    its = _lines_of(best.sha256)
    added = [shown_line(line) for digest, line in own.items() if digest not in its]
    return Nearest(best.name, tuple(added[:SHOWN_LINES]), len(its - own.keys()))


def shown_line(line: str) -> str:
    """Return a line of a template as it may be printed: no control or hidden character."""
    escaped = line.encode("unicode_escape").decode("ascii")
    return escaped if len(escaped) <= SHOWN_CHARS else escaped[: SHOWN_CHARS - 3] + "..."


def line_digests(text: str) -> str:
    """Return the digests of a template's lines as an entry holds them."""
    return base64.b64encode(b"".join(sorted(_line_digests(text)))).decode()


def _line_digests(text: str) -> dict[bytes, str]:
    lines = (line.strip() for line in text.split("\n"))
    return {
        hashlib.sha256(line.encode("utf-8", "surrogatepass")).digest()[:LINE_DIGEST_BYTES]: line
        for line in lines
        if line
    }


@cache
def _catalogue() -> dict[str, KnownTemplate]:
    raw = files("corral.admission.template").joinpath("known_templates.json").read_bytes()
    entries = msgspec.json.decode(raw, type=tuple[KnownTemplate, ...])
    return {entry.sha256: entry for entry in entries}


@cache
def _lines_of(sha256: str) -> frozenset[bytes]:
    raw = base64.b64decode(_catalogue()[sha256].lines)
    step = LINE_DIGEST_BYTES
    return frozenset(raw[at : at + step] for at in range(0, len(raw), step))
