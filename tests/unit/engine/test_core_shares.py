"""Cores go first to whom less was served lately, within bounds."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.engine.core_shares import LEAST, WHOLE, CoreShares, Live
from tests.support.routing import ask, drain, routing

FLOODER, LIGHT = Live(1, "flooder", busy=True), Live(2, "light", busy=True)


def shares(rates: dict[str, float], workers: tuple[Live, ...], seconds: int = 20) -> dict[int, int]:
    """Return every worker's share after so long at these rates of service per second."""
    cores, total = CoreShares(), dict.fromkeys(rates, 0.0)
    held = {one.worker_id: WHOLE for one in workers}
    for second in range(seconds):
        held |= cores.look(float(second), total, workers)
        total = {name: total[name] + rate for name, rate in rates.items()}
    return held


@pytest.mark.claim("LIM-13")
def test_a_flooders_worker_goes_after_a_light_tenants() -> None:
    assert shares({"flooder": 400, "light": 20}, (FLOODER, LIGHT)) == {1: LEAST, 2: WHOLE}
    assert shares({"flooder": 400, "light": 0}, (FLOODER, LIGHT)) == {1: LEAST, 2: WHOLE}
    # The controls: nobody else has a worker; both ask for as much.
    assert shares({"flooder": 400, "light": 20}, (FLOODER,)) == {1: WHOLE}
    assert shares({"flooder": 400, "light": 390}, (FLOODER, LIGHT)) == {1: WHOLE, 2: WHOLE}


def test_what_was_long_ago_does_not_count_and_comes_back_by_itself() -> None:
    cores = CoreShares()
    cores.look(0, {"flooder": 0.0, "light": 0.0}, (FLOODER, LIGHT))
    assert cores.look(1, {"flooder": 900.0, "light": 9.0}, (FLOODER, LIGHT)) == {1: LEAST}
    assert cores.look(2, {"flooder": 900.0, "light": 9.0}, (FLOODER, LIGHT)) == {}
    assert cores.look(40, {"flooder": 900.0, "light": 9.0}, (FLOODER, LIGHT)) == {1: WHOLE}
    assert cores.look(41, {"flooder": 1800.0, "light": 9.0}, (FLOODER, LIGHT)) == {1: LEAST}
    # A worker of the same tenant that is new has its whole weight until it is looked at.
    again = Live(3, "flooder", busy=True)
    assert cores.look(41, {"flooder": 1800.0, "light": 9.0}, (again, LIGHT)) == {3: LEAST}


def test_a_tenants_workers_have_the_share_of_one() -> None:
    two = tuple(Live(number, "flooder", busy=True) for number in (1, 3))
    rates = {"flooder": 100.0, "light": 100.0}
    assert shares(rates, (*two, LIGHT)) == {1: 50, 3: 50, 2: WHOLE}
    idle = Live(3, "flooder", busy=False)
    assert shares(rates, (FLOODER, idle, LIGHT))[1] == WHOLE, "one that computes nothing is none"


@pytest.mark.claim("LIM-13")
@given(
    rates=st.fixed_dictionaries({n: st.floats(0, 1e9) for n in ("flooder", "light", "third")}),
    busy=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_whatever_workers_claim_the_bounds_hold(
    rates: dict[str, float], busy: tuple[bool, ...]
) -> None:
    workers = tuple(
        Live(number, name, busy=one)
        for number, (name, one) in enumerate(zip(rates, busy, strict=True), 1)
    )
    held = shares(rates, workers)
    assert all(LEAST <= share <= WHOLE for share in held.values())
    least = min(rates, key=lambda name: rates[name])
    assert held[[one.tenant for one in workers].index(least) + 1] == WHOLE


def test_the_router_asks_for_what_has_changed() -> None:
    async def body() -> None:
        served = {"acme": 0.0, "bolt": 0.0}
        async with routing({"m": "echo"}, served=lambda: served) as (router, launcher):
            for tenant in served:
                await drain(await ask(router, tenant=tenant))
            router.share_cores()
            served["acme"] = 5000.0
            router.share_cores()
            (first,) = [one.worker_id for one in await router.facts() if one.tenant == "acme"]
            until = time.monotonic() + 20
            while not launcher.shares:
                assert time.monotonic() < until
                await asyncio.sleep(0.01)
            assert launcher.shares == {first: LEAST}
            launcher._end(first)
            served["bolt"] = 50_000.0
            router.share_cores()  # a worker that has gone meanwhile is no error
            assert len(router._tasks) == 2

    asyncio.run(body())
