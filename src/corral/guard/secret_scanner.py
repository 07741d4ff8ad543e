"""Keys, tokens, private keys and passwords in a text, without a model.

Trust: gateway [net] and command line; pure. Input: hostile text; the time is linear in its length
(bounded patterns behind plain words).

    secret      a known format, with its checksum where it has one; a private key's lines
    credential  a value that looks random, behind a word such as `password` and `=` or `:`,
                behind `Bearer`, or between a URL's user and its host
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import Final

from corral.guard.check_digits import bits_for_each
from corral.guard.hit import LOOK_AHEAD, LOOK_BEHIND, Hit, Tail
from corral.guard.secret_patterns import ALNUM, NAMES, PATTERNS, SecretPattern

_LEAST: Final = 16
"""No key has fewer characters."""
_WORD_END: Final = re.compile(r"[A-Za-z0-9_.+/=~%:$!#&*?^\\-]*")


def _formats() -> dict[str, tuple[tuple[str, SecretPattern], ...]]:
    """Return for each anchor what a text may be that begins with it, by that one's own anchor."""
    every = [(anchor, one) for one in PATTERNS for anchor in one.anchors]
    return {
        found: tuple((anchor, one) for anchor, one in every if found.startswith(anchor))
        for found, _ in every
    }


@cache
def _exact(anchor: str, body: str, ended: str) -> re.Pattern[str]:
    """Return the expression of a format; made when its anchor is met, which most never are."""
    return re.compile(re.escape(anchor) + body + ended)


_ENDED: Final = r"(?![A-Za-z0-9_])"
_FORMATS: Final = _formats()
_ANCHORS: Final = tuple(sorted(_FORMATS, key=len, reverse=True))
_ROOTS: Final = tuple(
    one for one in _ANCHORS if not any(one != two and one.startswith(two) for two in _ANCHORS)
)
"""What to look for at first: looking for some fifty plain words is quicker than one expression."""
_STARTED: Final = re.compile("|".join(map(re.escape, _ANCHORS)))
_BEGINNINGS: Final = frozenset(a[:n] for a in _ANCHORS for n in range(1, len(a)))
_INSIDE: Final = frozenset(a for one in PATTERNS if one.inside for a in one.anchors)
_LONGEST: Final = max(map(len, _ANCHORS))

_KEY: Final = re.compile(
    r"PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr]|"
    r"(?:Proc-Type|DEK-Info|Version|Comment|Charset): (?:(?!-----)[^\n\\]){0,50}){1,6}"
)
_KEY_LINE: Final = re.compile(r"[A-Za-z0-9+/]{24}")
_KEY_BEGUN: Final = re.compile(_KEY.pattern + r"[A-Za-z0-9+/]{0,24}\Z")
_KEY_TAIL: Final = Tail(ALNUM | frozenset("+/=\r\n\\"))

_VALUE: Final = re.compile(r"[^\s\"'`,;<>(){}\[\]|]{1,64}")
_VALUE_TAIL: Final = Tail(frozenset(map(chr, range(33, 127))) - frozenset("\"'`,;<>(){}[]|.!?"),
                          joints=".!?")  # fmt: skip
_ASSIGNED: Final = re.compile(r"(?:[:=]>?|=>)[ \t]{0,3}[\"'`]?(?=[^\s\"'`,;<>(){}\[\]|]{8})")
_BEARER: Final = re.compile(r"\b[Bb]earer[ ]{1,3}(?=[A-Za-z0-9_.~+/=-]{16})")
_USER: Final = re.compile(r"://[A-Za-z0-9._%+-]{0,40}:(?=[^\s/@:]{3,64}@)")
_USER_BEGUN: Final = re.compile(r"://[A-Za-z0-9._%+-]{0,40}(?::[^\s/@:]{0,64})?\Z")
_ASSIGNING: Final = re.compile(r"(?:[:=]>?|=>)[ \t]{0,3}[\"'`]?[^\s\"'`,;<>(){}\[\]|]{0,64}\Z")
_BEARING: Final = re.compile(r"\b[Bb]earer {1,3}[^\s\"'`,;<>(){}\[\]|]{0,64}\Z")
_NAMED: Final = re.compile(
    r"\s{0,3}[\"'`\])]{0,3}(?:" + "|".join(re.escape(one[::-1]) for one in NAMES) + ")",
    re.IGNORECASE,
)
"""Backwards, so that it is tried at one place only."""
_MARKED: Final = re.compile(r"\[(?:secret|credential)\]\s{0,3}\Z")
"""What stands in place of a secret that was taken out is no name of the next one."""
_NAME: Final = 48
_PLACEHOLDER: Final = re.compile(
    r"your|example|changeme|change_me|placeholder|dummy|sample|redacted|xxxx|\*\*\*|\.\.\.|\$\{|"
    r"\$[A-Z_(]|%\(|process\.env|os\.environ|getenv|://",
    re.IGNORECASE,
)


class SecretScanner:
    """Finds secrets of known formats and, where asked, values that are said to be secret.

    Args:
        kinds: of `secret` and `credential`.
    """

    def __init__(self, kinds: Collection[str]) -> None:
        self._formats = "secret" in kinds
        self._values = "credential" in kinds

    def hits(self, text: str, start: int, stop: int) -> Iterator[Hit]:
        """Yield hits, as `Scanner` says."""
        found: list[Hit] = []
        if self._formats:
            found += self._formatted(text, start, stop)
        if self._values:
            found += self._assigned(text, start, stop)
        return iter(found)

    def held_from(self, text: str) -> int:
        """Return where something may be unfinished, as `Scanner` says."""
        low = max(0, len(text) - LOOK_AHEAD)
        held = len(text)
        if self._formats:
            held = min(held, _format_begun(text, low))
        if self._values:
            held = min(held, _value_begun(text, low))
        return held

    def _formatted(self, text: str, start: int, stop: int) -> Iterator[Hit]:
        for match in _KEY.finditer(text, max(0, start - LOOK_BEHIND)):
            at = match.end()
            if at >= stop:
                break
            near = at - match.start() <= LOOK_BEHIND
            if at >= start and near and _KEY_LINE.match(text, at):
                end = _KEY_TAIL.end(text, at + 24)
                yield Hit("secret", at, end, "private_key", _KEY_TAIL)
        if any(root in text for root in _ROOTS):
            yield from _keys(text, start, stop)

    def _assigned(self, text: str, start: int, stop: int) -> Iterator[Hit]:
        for sign in (_ASSIGNED, _BEARER, _USER):
            # The sign may have gone out already: only the value is kept back and taken out.
            for match in sign.finditer(text, max(0, start - 64)):
                at = match.end()
                if at >= stop:
                    break
                if at < start:
                    continue
                if sign is _ASSIGNED:
                    hit = _value(text, at) if _named(text, match.start()) else None
                elif sign is _BEARER:
                    hit = _value(text, at)
                else:
                    hit = Hit("credential", at, text.index("@", at), "url_password")
                if hit is not None:
                    yield hit


def _keys(text: str, start: int, stop: int) -> Iterator[Hit]:
    at = start
    while (started := _STARTED.search(text, at)) and started.start() < stop:
        first = started.start()
        at = first + 1
        behind = first > 0 and text[first - 1] in ALNUM
        for anchor, one in _FORMATS[started[0]]:
            if behind and not one.inside:
                continue
            exact = _exact(anchor, one.body, "" if one.tail else _ENDED)
            found = exact.match(text, first)
            if found and (one.check is None or one.check(found[0])):
                at = one.tail.end(text, found.end()) if one.tail else found.end()
                yield Hit("secret", first, at, one.name, one.tail)
                break


def _value(text: str, at: int) -> Hit | None:
    found = _VALUE.match(text, at)
    if found is None or not _looks_random(found[0]):
        return None
    return Hit("credential", at, _VALUE_TAIL.end(text, found.end()), "assigned", _VALUE_TAIL)


def _looks_random(value: str) -> bool:
    if len(value) < 8 or _PLACEHOLDER.search(value):
        return False
    sorts = (
        any(one.islower() for one in value) + any(one.isupper() for one in value)
        + any(one.isdigit() for one in value) + any(not one.isalnum() for one in value)
    )  # fmt: skip
    bits = bits_for_each(value)
    if sorts >= 3:
        return bits >= 2.75
    mixed = sorts == 2 and any(one.isdigit() for one in value)
    return mixed and len(value) >= _LEAST and bits >= 3.0


def _named(text: str, sign: int) -> bool:
    """Return whether the name of a secret stands before a sign of assignment."""
    before = text[max(0, sign - _NAME) : sign]
    return _NAMED.match(before[::-1]) is not None and _MARKED.search(before) is None


def _value_begun(text: str, low: int) -> int:
    """Return where an unfinished value may begin, from `low` on."""
    held = len(text)
    for begun in (_BEARING, _USER_BEGUN):
        match = begun.search(text, low)
        if match:
            held = min(held, match.start())
    at = low
    while match := _ASSIGNING.search(text, at):
        if _named(text, match.start()):
            return min(held, match.start())
        at = match.start() + 1
    return held


def _format_begun(text: str, low: int) -> int:
    """Return where an unfinished key of a known format may begin, from `low` on."""
    key = _KEY_BEGUN.search(text, max(0, len(text) - LOOK_BEHIND - 24))
    backwards = _WORD_END.match(text[low:][::-1])
    word = len(text) - (backwards.end() if backwards else 0)
    # The line of the header may have gone out: what is kept back is what stands behind it.
    held = max(word, low) if key else len(text)
    for started in _STARTED.finditer(text, word):
        if started[0] in _INSIDE or not started.start() or text[started.start() - 1] not in ALNUM:
            held = min(held, started.start())
            break
    for size in range(min(_LONGEST, len(text) - word), 0, -1):
        if len(text) - size < held and text[-size:] in _BEGINNINGS:
            return len(text) - size
    return held
