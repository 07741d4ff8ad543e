"""Versions of runtimes and of Debian packages, and which of two is newer; pure.

Trust: operator side. Input: what a runtime and the package manager print. Source for Debian:
deb-version(7). What cannot be read as a version is None, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Final

Upstream = tuple[int, int, int, int]
"""(major, minor, patch, candidate), or (date, number, 0, final) of gVisor's releases."""
_DATE: Final = re.compile(r"\b(20\d{6})(?:\.(\d+))?")
_NUMBERS: Final = re.compile(r"(?<![\d.])(\d+)\.(\d+)(?:\.(\d+))?(?:[-~.]?rc[.-]?(\d+))?")
_FINAL: Final = 1 << 30
_RUNS: Final = re.compile(r"(\d+)")


def parse_upstream(text: str) -> Upstream | None:
    """Return the version that a runtime's own words name, such as `runc version 1.1.5+ds1`."""
    dated = _DATE.search(text)
    if dated:
        return int(dated[1]), int(dated[2] or 0), 0, _FINAL
    found = _NUMBERS.search(text)
    if not found:
        return None
    candidate = int(found[4]) if found[4] else _FINAL
    return int(found[1]), int(found[2]), int(found[3] or 0), candidate


def has_fix(version: Upstream, fixed_in: Iterable[Upstream]) -> bool:
    """Return whether a version is at least the fixed one of its branch, or newer than all."""
    fixes = sorted(fixed_in)
    own_branch = [fix for fix in fixes if fix[:2] == version[:2]]
    if own_branch:
        return version >= own_branch[0]
    return bool(fixes) and version >= fixes[-1]


def debian_at_least(version: str, other: str) -> bool:
    """Return whether a Debian package version is `other` or newer."""
    return not _debian_key(version) < _debian_key(other)


class _Part:
    """One half of a Debian version, ordered by deb-version(7)."""

    def __init__(self, text: str) -> None:
        self._pieces = _RUNS.split(text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Part) and list(self._aligned(other)) == list(other._aligned(self))

    def __lt__(self, other: _Part) -> bool:
        return list(self._aligned(other)) < list(other._aligned(self))

    __hash__ = None  # type: ignore[assignment]

    def _aligned(self, other: _Part) -> Iterator[list[int]]:
        """Yield the pieces as comparable lists, padded so that an end sorts after a tilde."""
        pairs = zip_longest(self._pieces, other._pieces, fillvalue="")
        for index, (mine, theirs) in enumerate(pairs):
            if index % 2:
                yield [int(mine or "0")]
            else:
                width = max(len(mine), len(theirs)) + 1
                yield [_weight(c) for c in mine] + [0] * (width - len(mine))


def _weight(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) + (0 if character.isalpha() else 256)


def _debian_key(text: str) -> tuple[int, _Part, _Part]:
    epoch, found, rest = text.partition(":")
    if not found:
        epoch, rest = "0", text
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch) if epoch.isdecimal() else 0, _Part(upstream), _Part(revision)
