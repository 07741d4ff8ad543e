"""Per-tenant limits: request rate, requests at the same time, and a bounded first-come queue.

Trust: gateway [net]. One tenant's load never delays or refuses another's.
Input: tenant names that authentication has proved, so the table here is bounded by the tenants.

The burst of the rate limit is ten seconds' worth, or what a tenant may have in the house at once
(running and queued) if that is more, and at most a minute's worth.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from corral.core.config import Limits
from corral.core.ids import TenantName
from corral.tenancy.gcra import RateLimit

_SECOND_NS: Final = 1_000_000_000
_QUEUE_RETRY_S: Final = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """The request is over a limit.

    Attributes:
        code: `rate_limit_exceeded` or `queue_full`.
        message: for the caller.
        retry_after_s: whole seconds, at least 1, fit for `Retry-After`.
    """

    code: str
    message: str
    retry_after_s: int


class _House:
    """What one tenant has running and waiting."""

    __slots__ = ("rate", "running", "waiting")

    def __init__(self, rate: RateLimit) -> None:
        self.rate = rate
        self.running = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    def leave(self) -> None:
        """Hand the place to the one who waits longest, or free it."""
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.running -= 1


class Lease:
    """The right to run one request; give it back with `release` or by `with`."""

    __slots__ = ("_house",)

    def __init__(self, house: _House) -> None:
        self._house: _House | None = house

    def release(self) -> None:
        """Give the place back; a second time does nothing."""
        house, self._house = self._house, None
        if house is not None:
            house.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class TenantLimits:
    """Every tenant's limits. For one event loop; not for several threads."""

    def __init__(self, config: Limits, *, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._config = config
        self._clock_ns = clock_ns
        self._houses: dict[TenantName, _House] = {}
        per_minute = config.requests_per_minute
        in_the_house = config.concurrent_requests + config.queued_requests
        self._burst = min(per_minute, max(per_minute // 6, in_the_house))

    async def acquire(self, tenant: TenantName) -> Lease | Refusal:
        """Return a lease, after waiting in the tenant's queue if need be, or why there is none.

        A refused request is not counted against the rate. Cancelling the caller gives its place
        in the queue, or the place it was just handed, back.
        """
        house = self._houses.get(tenant)
        if house is None:
            rate = RateLimit(per_minute=self._config.requests_per_minute, burst=self._burst)
            house = self._houses[tenant] = _House(rate)
        full = house.running >= self._config.concurrent_requests
        if full and len(house.waiting) >= self._config.queued_requests:
            return Refusal(
                "queue_full", "too many requests of yours are waiting already", _QUEUE_RETRY_S
            )
        wait_ns = house.rate.admit(self._clock_ns())
        if wait_ns:
            return Refusal(
                "rate_limit_exceeded",
                f"over {self._config.requests_per_minute} requests per minute",
                max(1, -(-wait_ns // _SECOND_NS)),
            )
        if not full:
            house.running += 1
            return Lease(house)
        waiter = asyncio.get_running_loop().create_future()
        house.waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                house.leave()
            else:
                house.waiting.remove(waiter)
            raise
        return Lease(house)
