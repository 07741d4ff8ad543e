"""What one tenant's workers may take together."""

from __future__ import annotations

import asyncio

import pytest

from corral.engine.places import Room
from corral.engine.router import Router
from corral.engine.unavailable import Unavailable
from corral.engine.wire import Sampling
from corral.engine.worker_link import Stream
from tests.support.routing import drain, routing, start
from tests.support.served_template import TEXT


async def ask(router: Router, model: str, room: Room, tenant: str = "acme") -> Stream | Unavailable:
    worker = router.worker(start(model, tenant), TEXT, room=room)
    return await worker.open(Sampling(max_tokens=4), None, "forever")


@pytest.mark.claim("LIM-07")
@pytest.mark.parametrize("what", ["workers", "memory"])
def test_a_tenant_has_no_more_workers_than_it_may(what: str) -> None:
    memory_bytes = start("a").memory_bytes
    room = Room(workers=1) if what == "workers" else Room(memory_bytes=2 * memory_bytes - 1)

    async def run() -> None:
        async with routing({"a": "slow", "b": "slow"}) as (router, launcher):
            first = await ask(router, "a", room)
            assert isinstance(first, Stream)
            refused = await ask(router, "b", room)
            assert isinstance(refused, Unavailable)
            assert refused.code == "worker_quota_reached"
            assert isinstance(await ask(router, "b", Room()), Stream)  # nothing limits it now
            beside = await ask(router, "b", room, tenant="other")  # another has its own
            assert isinstance(beside, Stream)
            assert len(launcher.live) == 3

    asyncio.run(run())


def test_its_own_idle_worker_makes_room_and_no_other() -> None:
    room = Room(workers=1)

    async def run() -> None:
        async with routing({}) as (router, launcher):
            await drain(await ask(router, "a", room, tenant="other"))
            await drain(await ask(router, "a", room))
            await drain(await ask(router, "b", room))
            assert sorted(one.tenant for one in launcher.started) == ["acme", "acme", "other"]
            await asyncio.sleep(0)
            assert len(launcher.live) == 2

    asyncio.run(run())
