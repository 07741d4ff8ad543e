"""A token rate that takes reservations and gives back what was not used; no I/O, no clock.

Trust: gateway [net]. Input: times of one monotonic clock, in nanoseconds, never going back.
The generic cell rate algorithm, told as a leaking bucket: what was admitted fills it, `per_minute`
leaks out, and nothing that would make it run over is admitted.

Giving back is where such limits are overshot: a reservation of 10 that has leaked out since must
not take 10 out of what others filled in later. So the bucket remembers its admissions back to the
oldest that may still change, and is at each moment what it would be had each of them asked for
what it used. Since less admitted never means a fuller bucket, what was used in any window of
length t is at most rate * t + burst. Whole numbers only: no rounding can admit more.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MINUTE_NS: Final = 60_000_000_000
_REMEMBERED_MAX: Final = 4096
"""Admissions; beyond that the oldest cannot be given back any more."""


class Admission:
    """What one request has of a bucket."""

    __slots__ = ("at_ns", "settled", "tokens")

    def __init__(self, at_ns: int, tokens: int) -> None:
        self.at_ns = at_ns
        self.tokens = tokens
        self.settled = False


class TokenBucket:
    """The token rate of one scope; its burst is one minute's worth.

    Args:
        per_minute: tokens.
        level: tokens in it at the start, and therefore not to be had.
        now_ns: the start.
    """

    def __init__(self, *, per_minute: int, now_ns: int, level: int = 0) -> None:
        self.per_minute = per_minute
        self._log: deque[Admission] = deque()
        # In tokens times nanoseconds of a minute, so that each nanosecond leaks `per_minute`.
        self._base = level * MINUTE_NS
        self._base_ns = now_ns
        self._level = self._base
        self._level_ns = now_ns

    def wait_ns(self, now_ns: int, tokens: int) -> int:
        """Return after how long `tokens` would be admitted: 0 for now, -1 for never."""
        if tokens > self.per_minute:
            return -1
        over = self._now(now_ns) + (tokens - self.per_minute) * MINUTE_NS
        return max(0, -(-over // self.per_minute))

    def admit(self, now_ns: int, tokens: int) -> Admission:
        """Count a request that `wait_ns` has let through."""
        admission = Admission(now_ns, tokens)
        self._level = self._now(now_ns) + tokens * MINUTE_NS
        self._level_ns = now_ns
        self._log.append(admission)
        if len(self._log) > _REMEMBERED_MAX:
            self._log[0].settled = True
        self._forget()
        return admission

    def settle(self, admission: Admission, used: int) -> None:
        """Give back what a request did not use of its reservation; a second time does nothing."""
        if admission.settled:
            return
        admission.settled = True
        if used >= admission.tokens:
            self._forget()
            return
        admission.tokens = max(0, used)
        level, at_ns = self._base, self._base_ns
        for one in self._log:
            level = self._leak(level, one.at_ns - at_ns) + one.tokens * MINUTE_NS
            at_ns = one.at_ns
        self._level, self._level_ns = level, at_ns
        self._forget()

    def change_rate(self, now_ns: int, per_minute: int) -> None:
        """Go on at another rate; what is reserved now is not given back any more."""
        self._base = self._level = self._now(now_ns)
        self._base_ns = self._level_ns = now_ns
        for one in self._log:
            one.settled = True
        self._log.clear()
        self.per_minute = per_minute

    def level(self, now_ns: int) -> int:
        """Return the tokens in it, rounded up."""
        return -(-self._now(now_ns) // MINUTE_NS)

    def empty_after_ns(self, now_ns: int) -> int:
        """Return after how long nothing is in it."""
        return -(-self._now(now_ns) // self.per_minute)

    def _now(self, now_ns: int) -> int:
        return self._leak(self._level, now_ns - self._level_ns)

    def _leak(self, level: int, span_ns: int) -> int:
        return max(0, level - span_ns * self.per_minute)

    def _forget(self) -> None:
        while self._log and self._log[0].settled:
            one = self._log.popleft()
            leaked = self._leak(self._base, one.at_ns - self._base_ns)
            self._base, self._base_ns = leaked + one.tokens * MINUTE_NS, one.at_ns
