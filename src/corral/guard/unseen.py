"""Runs of characters that nobody sees, and what of them is how people write.

Trust: gateway [net] and command line; pure. Input: untrusted text. One pass, linear.

Kept are: a variation selector that chooses how an emoji or a symbol looks, joiners inside emoji and
between letters of scripts that need them (Arabic, the Indic ones), the flags of England, Scotland
and Wales, selectors after CJK ideographs (the sixteen that registered collections use), and a mark
of direction in a text that has letters written from right to left. Each is one character at a
place, so what could be hidden in them is a bit or two at each visible character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from corral.guard.characters import BIDI, JOINED_SCRIPTS, SELECTORS, TAGS, UNSEEN, script_of

UnseenKind = Literal["tag_smuggling", "variation_smuggling", "bidi_control", "invisible_text"]

# A class stands first by itself here and below: only then does the library skip to it in one loop.
_ONE: Final = f"[{TAGS}{SELECTORS}{BIDI}{UNSEEN}]"
UNSEEN_RUN: Final = re.compile(f"{_ONE}{_ONE}*")
_TAG: Final = re.compile(f"[{TAGS}]")
_SELECTOR: Final = re.compile(f"[{SELECTORS}]")
_BIDI: Final = re.compile(f"[{BIDI}]")
_RIGHT_TO_LEFT: Final = re.compile(
    "[\u0590-\u05ff\u0620-\u07ff\u0800-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_FLAG: Final = "\U0001f3f4"
_FLAGS: Final = tuple(
    "".join(chr(0xE0000 + ord(c)) for c in name) + "\U000e007f"
    for name in ("gbeng", "gbsct", "gbwls")
)
_PRESENTATION: Final = "\ufe0e\ufe0f"
_MARKS_OF_DIRECTION: Final = "\u200e\u200f\u061c"
_NON_JOINER, _JOINER = "\u200c", "\u200d"
_SYMBOLS: Final = frozenset({"So", "Sm", "Sk"})
_EMOJI_ELSE: Final = frozenset("\u203c\u2049\u2139\u3030\u303d")
_REGISTERED: Final = "\U000e0100-\U000e010f"
_IDEOGRAPHIC: Final = re.compile(f"[\ufe00-\ufe02{_REGISTERED}]")
_MONGOLIAN_SELECTOR: Final = re.compile("[\u180b-\u180d\u180f]")


@dataclass(frozen=True, slots=True)
class Unseen:
    """One run of one kind.

    Attributes:
        kind: what it is.
        start, end: where it is, in code points.
        payload: what its characters spell, if they are bytes; for detection only.
    """

    kind: UnseenKind
    start: int
    end: int
    payload: str


def unseen_runs(text: str) -> Iterator[Unseen]:
    """Yield every run that is not how people write, in order of places."""
    if text.isascii():
        return
    right_to_left: bool | None = None
    for found in UNSEEN_RUN.finditer(text):
        at, end = found.span()
        while at < end:
            if right_to_left is None and text[at] in _MARKS_OF_DIRECTION:
                right_to_left = _RIGHT_TO_LEFT.search(text) is not None
            kept = _writing(text, at, end, right_to_left=bool(right_to_left))
            if kept:
                at += kept
                continue
            start, kind = at, _kind(text[at])
            at += 1
            while at < end and _kind(text[at]) == kind:
                at += 1
            run = text[start:at]
            if kind == "variation_smuggling" and len(run) == 1 and run in _PRESENTATION:
                kind = "invisible_text"  # a stray one, as editors leave them behind
            yield Unseen(kind, start, at, payload(run))


def _kind(character: str) -> UnseenKind:
    if _TAG.match(character):
        return "tag_smuggling"
    if _SELECTOR.match(character):
        return "variation_smuggling"
    return "bidi_control" if _BIDI.match(character) else "invisible_text"


def _writing(text: str, at: int, end: int, *, right_to_left: bool) -> int:
    """Return how many characters from `at` are how people write; 0 if this one is not."""
    one, before = text[at], text[at - 1] if at else ""
    if before == _FLAG and text.startswith(_FLAGS, at):
        return len(_FLAGS[0])
    if one in _MARKS_OF_DIRECTION:
        return int(right_to_left and not UNSEEN_RUN.match(before))
    after = text[at + 1 : at + 2]
    if one in _PRESENTATION:
        return int(_is_symbol(before) or (before in "0123456789#*" and after == "\u20e3"))
    if _IDEOGRAPHIC.match(one):
        return int(script_of(before) == "Han" if before else False)
    if one in {_NON_JOINER, _JOINER}:
        base = text[at - 2] if before in _PRESENTATION and at > 1 else before
        if one == _JOINER and _is_symbol(base) and _is_symbol(after):
            return 1
        return int(bool(before) and script_of(before) in JOINED_SCRIPTS)
    if _MONGOLIAN_SELECTOR.match(one):
        return int(bool(before) and script_of(before) == "Mongolian")
    return 0


def _is_symbol(character: str) -> bool:
    return bool(character) and (
        character in _EMOJI_ELSE or unicodedata.category(character) in _SYMBOLS
    )


def payload(run: str) -> str:
    """Return what tag characters or variation selectors spell; "" for others.

    Bytes that are no UTF-8 are left out.
    """
    tags = "".join(chr(ord(c) & 0x7F) for c in run if "\U000e0020" <= c <= "\U000e007e")
    if tags:
        return tags
    spelt = bytes(
        ord(c) - 0xFE00 if c <= "\ufe0f" else ord(c) - 0xE0100 + 16
        for c in run
        if _SELECTOR.match(c)
    )
    return spelt.decode("utf-8", "ignore")
