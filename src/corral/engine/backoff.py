"""How long a worker that crashed, or could not be started, is left alone.

Trust: gateway [net]; pure but for the clock.
"""

from __future__ import annotations

from collections.abc import Callable

from corral.engine.unavailable import RestartPolicy, Unavailable


class Backoff:
    """Twice as long each time in a row.

    Args:
        policy: the first and the longest time.
        clock_s: monotonic seconds.
    """

    def __init__(self, policy: RestartPolicy, clock_s: Callable[[], float]) -> None:
        self._policy = policy
        self._clock_s = clock_s
        self._in_a_row = 0
        self._why: Unavailable | None = None
        self._until_s = 0.0

    @property
    def lasts(self) -> bool:
        """It is not over yet."""
        return self._until_s > self._clock_s()

    def refusal(self) -> Unavailable | None:
        """Return what a request is told meanwhile; None if it may go on."""
        left_s = self._until_s - self._clock_s()
        if self._why is None or left_s <= 0:
            return None
        return Unavailable(self._why.code, self._why.message, left_s)

    def begin(self, code: str, message: str) -> float:
        """Refuse requests from now on; return for how many seconds."""
        delay_s = min(
            self._policy.first_delay_s * 2.0 ** min(self._in_a_row, 30), self._policy.delay_max_s
        )
        self._in_a_row += 1
        self._why = Unavailable(code, message, delay_s)
        self._until_s = self._clock_s() + delay_s
        return delay_s

    def forget(self) -> None:
        """Begin anew with the first time: there was a good answer."""
        self._in_a_row = 0

    def take_back(self) -> None:
        """Undo the last `begin`: it was no crash."""
        self._in_a_row = max(0, self._in_a_row - 1)
        self._why = None
