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

    __slots__ = ("_interval_ns", "_next_ns", "_tolerance_ns")

    def __init__(self, *, per_minute: int, burst: int) -> None:
        self._interval_ns = -(-_MINUTE_NS // per_minute)
        self._tolerance_ns = (burst - 1) * self._interval_ns
        self._next_ns: int | None = None
        """When the next call is due if calls come evenly; it may run ahead by the tolerance."""

    def admit(self, now_ns: int) -> int:
        """Return 0 and count the call, or the nanoseconds after which it would be admitted."""
        due_ns = now_ns if self._next_ns is None else max(self._next_ns, now_ns)
        wait_ns = due_ns - now_ns - self._tolerance_ns
        if wait_ns > 0:
            return wait_ns
        self._next_ns = due_ns + self._interval_ns
        return 0
