"""Leases: rate, concurrency, queue, cancellation."""

import asyncio

import pytest

from corral.core.config import Limits
from corral.core.ids import TenantName
from corral.tenancy.account import Moment
from corral.tenancy.limits import Lease, Refusal, TenantLimits

A, B = TenantName("a"), TenantName("b")


def _limits(*, rpm: int = 10_000, running: int = 2, queued: int = 2) -> TenantLimits:
    config = Limits(requests_per_minute=rpm, concurrent_requests=running, queued_requests=queued)
    return TenantLimits(config, clock=lambda: Moment(0, 0))


async def _lease(limits: TenantLimits, tenant: TenantName = A) -> Lease:
    got = await asyncio.wait_for(limits.acquire(tenant), 1)
    assert isinstance(got, Lease)
    return got


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.claim("LIM-02")
def test_concurrency_then_queue_in_order_then_refusal() -> None:
    async def run() -> None:
        limits = _limits()
        running = [await _lease(limits) for _ in range(2)]
        order: list[int] = []

        async def wait(number: int) -> Lease:
            lease = await limits.acquire(A)
            assert isinstance(lease, Lease)
            order.append(number)
            return lease

        waiting = [asyncio.create_task(wait(n)) for n in range(2)]
        await _settle()
        refused = await limits.acquire(A)
        assert isinstance(refused, Refusal)
        assert (refused.code, refused.retry_after_s) == ("queue_full", 1)
        (await _lease(limits, B)).release()  # another tenant notices nothing
        running[0].release()
        running[0].release()  # a second time frees nobody
        await _settle()
        assert order == [0]
        running[1].release()
        await asyncio.gather(*waiting)
        assert order == [0, 1]

    asyncio.run(run())


def test_the_rate_is_refused_with_its_wait() -> None:
    async def run() -> None:
        limits = _limits(rpm=2, running=5)
        for _ in range(2):
            (await _lease(limits)).release()
        refused = await limits.acquire(A)
        assert isinstance(refused, Refusal)
        assert (refused.code, refused.retry_after_s) == ("rate_limit_exceeded", 30)
        assert isinstance(await limits.acquire(B), Lease)

    asyncio.run(run())


def test_a_full_queue_does_not_use_up_the_rate() -> None:
    async def run() -> None:
        limits = _limits(rpm=12, running=1, queued=0)  # a burst of two
        held = await _lease(limits)
        for _ in range(5):
            assert isinstance(await limits.acquire(A), Refusal)
        held.release()
        (await _lease(limits)).release()

    asyncio.run(run())


@pytest.mark.parametrize("handed_over", [False, True])
def test_a_cancelled_waiter_gives_its_place_back(handed_over: bool) -> None:
    async def run() -> None:
        limits = _limits(running=1, queued=1)
        held = await _lease(limits)
        waiter = asyncio.create_task(limits.acquire(A))
        await _settle()
        if handed_over:
            held.release()  # the place is the waiter's now, but it has not run yet
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        held.release()
        (await _lease(limits)).release()
        with await _lease(limits):
            queued = asyncio.create_task(limits.acquire(A))
            await _settle()
            assert not queued.done()
        assert isinstance(await queued, Lease)

    asyncio.run(run())


@pytest.mark.claim("LIM-02")
def test_many_tasks_never_exceed_the_concurrency() -> None:
    async def run() -> None:
        limits = _limits(running=3, queued=100)
        now = peak = 0

        async def work() -> None:
            nonlocal now, peak
            with await _lease(limits):
                now += 1
                peak = max(peak, now)
                await asyncio.sleep(0)
                now -= 1

        tasks = [asyncio.create_task(work()) for _ in range(60)]
        for task in tasks[::7]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (now, peak) == (0, 3)

    asyncio.run(run())
