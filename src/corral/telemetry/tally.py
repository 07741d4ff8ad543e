"""Counts and spreads as plain integers: what /metrics shows, kept for the price of an addition.

Trust: gateway [net]. For one event loop: no locks. A label's values are of a closed set, written
down where the family is made; a value outside of it counts as `other`, so that no text of a client,
a tenant or an engine can become a label, and no client can make the page longer.

The library that writes the page (`prometheus-client`) is loaded with its first reader.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

OTHER: Final = "other"
_SLUG: Final = re.compile(r"[a-z][a-z0-9_]{0,47}(\.[a-z][a-z0-9_]{0,47})?")
_CODES_MAX: Final = 128
SECONDS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
)  # fmt: skip
"""Upper bounds of the buckets of a `Spread`, in seconds."""


class Codes:
    """The set of our own stable codes (docs/errors.md), which are literals in the sources.

    A law of tests/style holds each minted code to that page; here only their form is looked at, and
    how many there are.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __contains__(self, value: object) -> bool:
        if value in self._seen:
            return True
        if not isinstance(value, str) or not _SLUG.fullmatch(value):
            return False
        if len(self._seen) >= _CODES_MAX:
            return False
        self._seen.add(value)
        return True


Values = tuple[str, ...] | Codes


class Tally:
    """A count for each combination of its labels' values.

    Args:
        labels: each label's name, with every value that it may have.
    """

    def __init__(self, **labels: Values) -> None:
        self._labels = labels
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, *values: str, by: int = 1) -> None:
        """Count; a value for each label, in the order of the labels."""
        try:
            self._counts[values] += by
        except KeyError:
            self._first(values, by)

    def items(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """Yield (values, count) of everything that was counted."""
        yield from sorted(self._counts.items())

    def _first(self, values: tuple[str, ...], by: int) -> None:
        known = tuple(
            value if value in allowed else OTHER
            for value, allowed in zip(values, self._labels.values(), strict=True)
        )
        self._counts[known] = self._counts.get(known, 0) + by


class Spread:
    """How long something took: a histogram over `SECONDS`."""

    def __init__(self) -> None:
        self._counts = [0] * (len(SECONDS) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(SECONDS, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return (upper bound, how many took at most so long), the last for all."""
        found: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip([*map(str, SECONDS), "+Inf"], self._counts, strict=True):
            total += count
            found.append((bound, total))
        return found
