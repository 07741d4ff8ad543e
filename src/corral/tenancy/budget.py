"""Token budgets of calendar days and months, in UTC; no I/O, no clock.

Trust: gateway [net]. Input: Unix times in seconds. A reservation counts in full for the period in
which it was made, until it is settled; what it gives back, it gives back to that period alone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final


def day_of(now_s: float) -> int:
    """Return the number of a day, e.g. 20261129."""
    now = datetime.fromtimestamp(now_s, UTC)
    return now.year * 10_000 + now.month * 100 + now.day


def month_of(now_s: float) -> int:
    """Return the number of a month, e.g. 202611."""
    return day_of(now_s) // 100


def day_ends_s(now_s: float) -> float:
    """Return the seconds until the day is over."""
    return 86_400 - now_s % 86_400


def month_ends_s(now_s: float) -> float:
    """Return the seconds until the month is over."""
    now = datetime.fromtimestamp(now_s, UTC)
    after = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    return after.timestamp() - now_s


PERIODS: Final[dict[str, tuple[Callable[[float], int], Callable[[float], float]]]] = {
    "day": (day_of, day_ends_s),
    "month": (month_of, month_ends_s),
}


class Budget:
    """What was used of one budget in the current period.

    Args:
        name: `day` or `month`.
        period: of which `used` is; another one than today's counts as nothing used.
        used: tokens.

    Attributes:
        limit: tokens for each period; 0 for none.
    """

    def __init__(self, name: str, *, limit: int, period: int = 0, used: int = 0) -> None:
        self._number, self._ends_s = PERIODS[name]
        self.limit = limit
        self.period = period
        self.used = used

    def wait_s(self, now_s: float, tokens: int) -> float:
        """Return after how long `tokens` would be admitted: 0 for now, -1 for never."""
        self._turn(now_s)
        if tokens > self.limit:
            return -1
        return 0 if self.used + tokens <= self.limit else self._ends_s(now_s)

    def admit(self, now_s: float, tokens: int) -> int:
        """Count a request that `wait_s` has let through; return its period."""
        self._turn(now_s)
        self.used += tokens
        return self.period

    def give_back(self, period: int, tokens: int) -> None:
        """Give back what a request of a period did not use."""
        if period == self.period:
            self.used -= tokens

    def _turn(self, now_s: float) -> None:
        # A clock that is set back does not open a period again, let alone with nothing used.
        number = self._number(now_s)
        if number > self.period:
            self.period, self.used = number, 0
