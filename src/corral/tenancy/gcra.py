"""The generic cell rate algorithm: a rate limit that is one number per tenant; no I/O, no clock.

Trust: gateway [net]. Input: times from the caller's monotonic clock.
https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm

In any window of length t at most `rate * t + burst` calls are admitted. Times are whole
nanoseconds, so that no rounding can admit more.
"""

from __future__ import annotations

from typing import Final

_MINUTE_NS: Final = 60_000_000_000


class RateLimit:
    """One tenant's rate limit."""

    __slots__ = ("_interval_ns", "_next_ns", "_tolerance_ns", "burst", "per_minute")

    def __init__(self, *, per_minute: int, burst: int) -> None:
        self._next_ns: int | None = None
        """When the next call is due if calls come evenly; it may run ahead by the tolerance."""
        self.change(per_minute=per_minute, burst=burst)

    def change(self, *, per_minute: int, burst: int) -> None:
        """Go on at another rate."""
        self.per_minute = per_minute
        self.burst = burst
        self._interval_ns = -(-_MINUTE_NS // per_minute)
        self._tolerance_ns = (burst - 1) * self._interval_ns

    def admit(self, now_ns: int) -> int:
        """Return 0 and count the call, or the nanoseconds after which it would be admitted."""
        wait_ns = self.wait_ns(now_ns)
        if not wait_ns:
            self._next_ns = now_ns + self.full_after_ns(now_ns) + self._interval_ns
        return wait_ns

    def wait_ns(self, now_ns: int) -> int:
        """Return the nanoseconds after which a call would be admitted; 0 for now."""
        return max(0, self.full_after_ns(now_ns) - self._tolerance_ns)

    def full_after_ns(self, now_ns: int) -> int:
        """Return the nanoseconds after which the whole burst can be had."""
        return 0 if self._next_ns is None else max(0, self._next_ns - now_ns)

    def remaining(self, now_ns: int) -> int:
        """Return how many calls would be admitted now."""
        return max(0, self.burst - -(-self.full_after_ns(now_ns) // self._interval_ns))
