"""How many refusals are written down one by one, so that nobody can fill the disk with them.

Trust: gateway [net]. Input: hostile; strangers share one pace, each tenant has its own.

A token bucket for each: refusals over it are counted, and one record `more` says how many there
were. At most `_RATE` records a second go on for ever, after a burst of `_BURST`: 21 MB a day of
strangers, whatever they do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_RATE: Final = 1.0
_BURST: Final = 60.0
_PLACES: Final = 4096
"""Paces in memory; tenants beyond that share the strangers'."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at_s: float
    uncounted: int = 0


class RefusalPace:
    """Says which refusals get a record of their own."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    def admits(self, tenant: str, now_s: float) -> bool:
        """Return whether one more refusal gets its record; one that does not is counted.

        Args:
            tenant: whose; empty for a stranger.
            now_s: monotonic clock.
        """
        bucket = self._buckets.get(tenant)
        if bucket is None:
            if len(self._buckets) >= _PLACES:
                bucket = self._buckets.setdefault("", _Bucket(_BURST, now_s))
            else:
                bucket = self._buckets[tenant] = _Bucket(_BURST, now_s)
        bucket.left = min(_BURST, bucket.left + (now_s - bucket.at_s) * _RATE)
        bucket.at_s = now_s
        if bucket.left < 1:
            bucket.uncounted += 1
            return False
        bucket.left -= 1
        return True

    def uncounted(self, tenant: str) -> int:
        """Return how many were not written since the last call, to be told in the next record."""
        bucket = self._buckets.get(tenant)
        if bucket is None:
            return 0
        count, bucket.uncounted = bucket.uncounted, 0
        return count
