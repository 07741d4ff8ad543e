"""The tokens of one scope: its rate and its budgets, and how much of them is on the disk.

Trust: gateway [net]. Input: token counts of the pipeline, rows that `tenancy.spent` wrote.

The disk is always ahead of what was admitted: before a request goes on, the row says at least as
much as is used, and some more, so that not each request has to wait for the disk. Whatever ends
this process, the next one starts from the row and can only be too strict, by a sixteenth of the
smallest limit at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from corral.tenancy.bucket import MINUTE_NS, Admission, TokenBucket
from corral.tenancy.budget import Budget
from corral.tenancy.quota import Quota, Scope

_AHEAD: Final = 16
_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, by both clocks: the monotonic one, and Unix time."""

    mono_ns: int
    wall_s: float


@dataclass(frozen=True, slots=True)
class Spent:
    """One row: at least what a scope has used.

    Attributes:
        level: tokens in the bucket at `ts_ms`.
        day, month: periods of `day_used` and `month_used`.
    """

    level: int = 0
    ts_ms: int = 0
    day: int = 0
    day_used: int = 0
    month: int = 0
    month_used: int = 0


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a request is not admitted.

    Attributes:
        what: the limit.
        wait_s: after which it would be; negative for never.
    """

    what: str
    limit: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class _Charge:
    tokens: int
    admission: Admission | None
    periods: tuple[tuple[Budget, int], ...]


class Account:
    """What one scope has used of its tokens.

    Args:
        scope: whose.
        quota: with at least one limit of tokens.
        found: the row of an earlier process.
        now: the start.
    """

    def __init__(self, scope: Scope, quota: Quota, found: Spent, now: Moment) -> None:
        self.scope = scope
        self.bucket: TokenBucket | None = None
        self._budgets = {
            "day": Budget("day", limit=0, period=found.day, used=found.day_used),
            "month": Budget("month", limit=0, period=found.month, used=found.month_used),
        }
        self._found = found
        self._written = found
        self._written_ns = now.mono_ns
        self.apply(quota, now)
        if self.bucket is not None:
            self._written = Spent(
                self.bucket.level(now.mono_ns), found.ts_ms, found.day, found.day_used,
                found.month, found.month_used,
            )  # fmt: skip

    def apply(self, quota: Quota, now: Moment) -> None:
        """Go by these limits from now on."""
        rate = quota.tokens_per_minute or 0
        self._budgets["day"].limit = quota.tokens_per_day or 0
        self._budgets["month"].limit = quota.tokens_per_month or 0
        if not rate:
            self.bucket = None
        elif self.bucket is None:
            # A clock that was set back leaks nothing.
            passed_ms = max(0, int(now.wall_s * 1000) - self._found.ts_ms)
            level = max(0, math.ceil(self._found.level - passed_ms * rate / 60_000))
            self.bucket = TokenBucket(per_minute=rate, now_ns=now.mono_ns, level=level)
        elif self.bucket.per_minute != rate:
            self.bucket.change_rate(now.mono_ns, rate)

    def shortage(self, now: Moment, tokens: int) -> Shortage | None:
        """Return what is missing for a request of at most so many tokens; None if nothing is."""
        if self.bucket is not None:
            wait_ns = self.bucket.wait_ns(now.mono_ns, tokens)
            if wait_ns:
                wait_s = wait_ns / _SECOND_NS if wait_ns > 0 else -1
                return Shortage("tokens per minute", self.bucket.per_minute, wait_s)
        for name, budget in self._budgets.items():
            wait_s = budget.wait_s(now.wall_s, tokens) if budget.limit else 0
            if wait_s:
                return Shortage(f"tokens per {name}", budget.limit, wait_s)
        return None

    def admit(self, now: Moment, tokens: int) -> _Charge:
        """Count a request that has no shortage."""
        admission = self.bucket.admit(now.mono_ns, tokens) if self.bucket else None
        budgets = [one for one in self._budgets.values() if one.limit]
        return _Charge(
            tokens, admission, tuple((one, one.admit(now.wall_s, tokens)) for one in budgets)
        )

    def settle(self, charge: _Charge, used: int) -> None:
        """Give back what a request did not use; call it once for each charge."""
        if charge.admission is not None and self.bucket is not None:
            self.bucket.settle(charge.admission, used)
        for budget, period in charge.periods:
            budget.give_back(period, max(0, charge.tokens - used))

    def covered(self, now: Moment) -> bool:
        """Return whether the disk says at least as much as was admitted."""
        spent, written = self.spent(now, ahead=False), self._written
        leaked = 0
        if self.bucket is not None:
            leaked = (now.mono_ns - self._written_ns) * self.bucket.per_minute // MINUTE_NS
        return (
            spent.level <= max(0, written.level - leaked)
            and (spent.day, spent.month) == (written.day, written.month)
            and spent.day_used <= written.day_used
            and spent.month_used <= written.month_used
        )

    def spent(self, now: Moment, *, ahead: bool) -> Spent:
        """Return the row of now; `ahead` with something for the requests to come."""
        day, month = self._budgets["day"], self._budgets["month"]
        rate = self.bucket.per_minute if self.bucket else 0
        limits = [limit for limit in (rate, day.limit, month.limit) if limit]
        more = min(limits, default=0) // _AHEAD if ahead else 0
        level = self.bucket.level(now.mono_ns) if self.bucket else 0
        return Spent(
            level=level + more if self.bucket else 0,
            ts_ms=math.ceil(now.wall_s * 1000),
            day=day.period, day_used=day.used + more if day.limit else day.used,
            month=month.period, month_used=month.used + more if month.limit else month.used,
        )  # fmt: skip

    def written(self, spent: Spent, now: Moment) -> None:
        """Note that the disk says `spent`, which was made `now`."""
        self._written, self._written_ns = spent, now.mono_ns
        self._found = spent
