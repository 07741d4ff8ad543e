"""Who has requests in line computes after who has none, within bounds."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.engine.core_shares import LEAST, LEAST_BRIEFLY, WHOLE, CoreShares, Live
from corral.tenancy.fair_queue import Standing
from tests.support.routing import ask, drain, routing

FLOODER, LIGHT = Live(1, "flooder"), Live(2, "light")


def shares(
    rates: dict[str, float],
    waiting: dict[str, int],
    workers: tuple[Live, ...],
    runs: dict[str, float] | None = None,
) -> dict[int, int]:
    """Return every worker's share after 20 s at these rates of service, and of places, per second.

    Who is not in `runs` has a place half of the time.
    """
    cores, total = CoreShares(), dict.fromkeys(rates, 0.0)
    held = {one.worker_id: WHOLE for one in workers}
    for second in range(20):
        standing = {
            name: Standing(total[name], waiting.get(name, 0), second * (runs or {}).get(name, 0.5))
            for name in rates
        }
        held |= cores.look(float(second), standing, workers)
        total = {name: total[name] + rate for name, rate in rates.items()}
    return held


@pytest.mark.claim("LIM-13")
def test_a_flooders_worker_goes_after_a_light_tenants() -> None:
    both, line = (FLOODER, LIGHT), {"flooder": 6}
    assert shares({"flooder": 400, "light": 20}, line, both) == {1: LEAST_BRIEFLY, 2: WHOLE}
    assert shares({"flooder": 100, "light": 140}, line, both) == {1: LEAST_BRIEFLY, 2: WHOLE}
    # Who computes on and on, whatever its worker says of its tokens, leaves the others more.
    on = {"light": 1.0}
    assert shares({"flooder": 400, "light": 0}, line, both, on) == {1: LEAST, 2: WHOLE}
    # The controls: nobody else has a worker; nobody waits, or all do; who does not was served more.
    assert shares({"flooder": 400, "light": 20}, line, (FLOODER,)) == {1: WHOLE}
    assert shares({"flooder": 400, "light": 20}, {}, both) == {1: WHOLE, 2: WHOLE}
    assert shares({"flooder": 9, "light": 20}, {**line, "light": 1}, both) == {1: WHOLE, 2: WHOLE}
    assert shares({"flooder": 100, "light": 160}, line, both) == {1: WHOLE, 2: WHOLE}


@pytest.mark.claim("LIM-13")
def test_who_computes_much_gets_no_precedence_by_a_tenant_that_does_nothing() -> None:
    workers = (FLOODER, Live(2, "heavy"), Live(3, "idle"))
    rates = {"flooder": 20.0, "heavy": 400.0, "idle": 0.0}
    held = shares(rates, {"flooder": 2}, workers)
    assert held == {1: LEAST_BRIEFLY, 2: LEAST_BRIEFLY, 3: WHOLE}


@pytest.mark.claim("LIM-13")
@pytest.mark.parametrize("alone", [True, False])
def test_what_was_served_while_nobody_waited_is_not_held_against_a_tenant(alone: bool) -> None:
    cores, served = CoreShares(), {"flooder": 0.0, "light": 0.0}

    def look(now_s: float, waiting: int) -> dict[int, int]:
        standing = {name: Standing(served[name], 0) for name in served}
        standing["flooder"] = Standing(served["flooder"], waiting)
        return cores.look(now_s, standing, (FLOODER, LIGHT))

    for second in range(10):
        look(float(second), 0 if alone else 3)
        served["light"] += 300
        served["flooder"] += 0 if alone else 100
    told = look(10.0, 3)
    assert told == ({1: LEAST_BRIEFLY} if alone else {}), "beside one who waits it counts"


@pytest.mark.claim("LIM-13")
def test_the_prompts_that_begin_a_flood_count() -> None:
    """Else one request of a light tenant were more than the flooder's answers that just began."""
    for prompts, told in ((600.0, {}), (0.0, {1: WHOLE})):  # the second: the control
        cores = CoreShares()
        for now_s, flooder, waiting, light in (
            (0.0, 0.0, 0, 50.0), (1.0, prompts, 9, 50.0), (2.0, prompts + 20, 9, 350.0),
        ):  # fmt: skip
            standing = {"flooder": Standing(flooder, waiting), "light": Standing(light, 0)}
            last = cores.look(now_s, standing, (FLOODER, LIGHT))
        assert last == told


def test_it_comes_back_by_itself_and_only_changes_are_told() -> None:
    cores = CoreShares()

    def look(now_s: float, served: float, waiting: int, worker: Live = FLOODER) -> dict[int, int]:
        standing = {"flooder": Standing(served, waiting), "light": Standing(9.0, 0)}
        return cores.look(now_s, standing, (worker, LIGHT))

    assert look(0, 0, 3) == {1: LEAST_BRIEFLY}
    assert look(1, 900, 3) == {}
    assert look(2, 900, 0) == {}, "the line is empty for a moment"
    assert look(6, 1800, 0) == {1: WHOLE}
    assert look(7, 2700, 3) == {1: LEAST_BRIEFLY}
    # A worker of the same tenant that is new has its whole weight until it is looked at.
    assert look(8, 3600, 3, Live(3, "flooder")) == {3: LEAST_BRIEFLY}


@pytest.mark.claim("LIM-13")
@given(
    rates=st.fixed_dictionaries({n: st.floats(0, 1e9) for n in ("flooder", "light", "third")}),
    waiting=st.fixed_dictionaries({n: st.integers(0, 2) for n in ("flooder", "light", "third")}),
    runs=st.fixed_dictionaries({n: st.floats(0, 1) for n in ("flooder", "light", "third")}),
)
def test_whatever_workers_claim_the_bounds_hold(
    rates: dict[str, float], waiting: dict[str, int], runs: dict[str, float]
) -> None:
    workers = tuple(Live(number, name) for number, name in enumerate(rates, 1))
    held = shares(rates, waiting, workers, runs)
    assert set(held.values()) <= {LEAST_BRIEFLY, LEAST, WHOLE}
    if LEAST_BRIEFLY in held.values():
        assert all(runs[one.tenant] < 0.9 for one in workers if held[one.worker_id] == WHOLE)
    for one in workers:
        for other in workers:  # none goes before one that waits and was served much less
            if waiting[one.tenant] and rates[other.tenant] > 1.6 * rates[one.tenant] + 1:
                assert held[other.worker_id] <= held[one.worker_id]


def test_the_router_asks_for_what_has_changed() -> None:
    async def body() -> None:
        standing = {"acme": Standing(0.0, 0), "bolt": Standing(0.0, 0)}
        async with routing({"m": "echo"}, standing=lambda: standing) as (router, launcher):
            for tenant in standing:
                await drain(await ask(router, tenant=tenant))
            router.share_cores()
            standing["acme"] = Standing(500.0, 3)
            router.share_cores()
            (first,) = [one.worker_id for one in await router.facts() if one.tenant == "acme"]
            until = time.monotonic() + 20
            while not launcher.shares:
                assert time.monotonic() < until
                await asyncio.sleep(0.01)
            assert launcher.shares == {first: LEAST_BRIEFLY}
            launcher._end(first)
            standing["bolt"] = Standing(0.0, 3)
            router.share_cores()  # a worker that has gone meanwhile is no error
            assert router._tasks

    asyncio.run(body())
