"""A tenant without a worker gets one, whatever the others do with theirs."""

from __future__ import annotations

import asyncio

import pytest

from corral.core.config import Engine
from corral.engine.router import Router
from corral.engine.unavailable import Unavailable
from corral.engine.wire import End
from corral.engine.worker_link import Stream
from tests.support.memory_shapes import SMALL_ESTIMATE
from tests.support.routing import ask, drain, routing, until

ONE = SMALL_ESTIMATE.total_bytes
MODES: dict[str, str | list[str]] = {"a": "slow", "b": "slow", "c": "slow"}
NARROW = {
    "places": Engine(max_workers=2, parallel=4),
    "memory": Engine(memory_total_bytes=2 * ONE + ONE // 2, memory_reserve_bytes=0),
}


async def overlapping(router: Router, model: str, ended: list[object]) -> None:
    """Ask for one answer before the last one has ended, again and again."""
    while True:
        stream = await ask(router, model, "flood", prompt="forever", tokens=40)
        if isinstance(stream, Unavailable):
            ended.append(stream)
            await asyncio.sleep(0.05)
            continue
        rest = asyncio.create_task(drain(stream))
        rest.add_done_callback(lambda task: ended.append(task.result()[-1]))
        await asyncio.sleep(0.02)


@pytest.mark.claim("LIM-12")
@pytest.mark.parametrize("what", ["places", "memory"])
def test_a_tenant_without_a_worker_gets_one_however_others_overlap(what: str) -> None:
    """One tenant's streams overlap on all its workers; the light tenant waits, and is answered."""

    async def run(*, waits: bool) -> Stream | Unavailable:
        async with routing(MODES, NARROW[what], place_wait_s=60 if waits else 0) as (router, _):
            ended: list[object] = []
            flood = [asyncio.create_task(overlapping(router, model, ended)) for model in "ab"]
            await until(lambda: sum(one.running > 1 for one in router.supervisors()) == 2)
            answer = await ask(router, "c", "light")
            if isinstance(answer, Stream):
                assert isinstance((await drain(answer))[-1], End)
            for task in flood:
                task.cancel()
            await until(lambda: all(one.state != "starting" for one in router.supervisors()))
            # No request that ran was cut for it.
            assert {type(one) for one in ended} <= {End, Unavailable}
            return answer

    assert isinstance(asyncio.run(run(waits=True)), Stream)
    refused = asyncio.run(run(waits=False))  # the attack, where no start waits in the line
    assert isinstance(refused, Unavailable)


@pytest.mark.claim("LIM-12")
def test_one_place_goes_from_tenant_to_tenant() -> None:
    async def run() -> None:
        config = Engine(max_workers=1)
        async with routing(MODES, config, place_wait_s=60) as (router, launcher):
            router.places.turn_s = 0.1
            flood = asyncio.create_task(overlapping(router, "a", []))
            await until(lambda: any(one.running > 1 for one in router.supervisors()))
            await drain(await ask(router, "c", "light"))
            await until(lambda: launcher.started[-1].tenant == "flood")
            await until(lambda: any(one.running for one in router.supervisors()))
            flood.cancel()

    asyncio.run(run())


@pytest.mark.claim("LIM-12")
def test_a_quarter_of_the_places_is_for_tenants_that_have_none() -> None:
    async def run() -> None:
        async with routing(MODES, Engine(max_workers=4)) as (router, launcher):
            for model in "abc":
                assert isinstance(await ask(router, model, prompt="forever", tokens=9999), Stream)
            refused = await ask(router, "d")
            assert isinstance(refused, Unavailable)
            assert refused.code == "no_worker_free"
            await drain(await ask(router, "d", "other"))
            assert len(launcher.live) == 4

    asyncio.run(run())


def test_an_idle_worker_of_the_tenant_with_more_goes_first() -> None:
    async def run() -> None:
        async with routing({}, Engine(max_workers=3)) as (router, _):
            await drain(await ask(router, "x", "modest"))  # idle for longest
            for model in "xy":
                await drain(await ask(router, model, "greedy"))
            await drain(await ask(router, "x", "new"))
            left = {(one.tenant, one.live) for one in router.supervisors()}
            assert ("modest", True) in left
            assert ("new", True) in left
            # Neither may one with as much take the last worker of another that was just used.
            await drain(await ask(router, "z", "greedy"))
            assert [one.live for one in router.supervisors() if one.tenant == "modest"] == [True]

    asyncio.run(run())


def test_a_start_waits_for_a_worker_that_is_being_stopped() -> None:
    async def run() -> None:
        async with routing({}, Engine(max_workers=1), place_wait_s=60) as (router, launcher):
            await drain(await ask(router, "a"))
            leaving = asyncio.create_task(router.supervisors()[0].unload())
            await asyncio.sleep(0)
            assert router.supervisors()[0].stopping
            await drain(await ask(router, "b", "other"))
            await leaving
            assert len(launcher.live) == 1

    asyncio.run(run())


def test_whoever_leaves_while_it_waits_leaves_no_start_behind() -> None:
    async def run() -> None:
        async with routing(MODES, Engine(max_workers=1), place_wait_s=60) as (router, launcher):
            busy = await ask(router, "a", prompt="forever", tokens=9999)
            assert isinstance(busy, Stream)
            waiting = asyncio.create_task(ask(router, "b", "other"))
            await until(lambda: any(one.waits for one in router.supervisors()))
            assert any(one.held_up for one in router.supervisors())
            waiting.cancel()
            await until(lambda: not any(one.waits for one in router.supervisors()))
            busy.abandon()
            await until(lambda: all(not one.running for one in router.supervisors()))
            assert [one.tenant for one in launcher.started] == ["acme"]

    asyncio.run(run())
