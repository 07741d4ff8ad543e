"""A router over the fake launcher, for tests of workers' lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from corral.core.config import Config, Engine
from corral.core.ids import Digest, ModelName, TenantName
from corral.engine.launcher_link import Event, LauncherLink
from corral.engine.router import Router
from corral.engine.sizing import engine_footprint, engine_start
from corral.engine.unavailable import RestartPolicy, Unavailable
from corral.engine.wire import Chunk, Sampling
from corral.engine.worker_link import Deadlines, Item, Stream
from corral.ipc.messages import StartEngine, WorkerEnded
from corral.tenancy.fair_queue import Standing
from corral.tenancy.ward import Ward
from tests.support.fake_launcher import FakeLauncher
from tests.support.memory_shapes import Model
from tests.support.served_template import TEXT

PATIENT = Deadlines(load_s=60, first_chunk_s=60, next_chunk_s=60, cancel_s=60)
"""A test whose subject is a deadline shortens that one alone: a worker that is sound may be held up
for a second by a busy machine."""
EAGER = RestartPolicy(first_delay_s=0.05, crashes_max=3, quarantine_s=30)


def start(model: str = "m", tenant: str = "acme", config: Config | None = None) -> StartEngine:
    return engine_start(
        tenant=TenantName(tenant), model=ModelName(model),
        digest=Digest(model.encode().hex().ljust(64, "0")), receipt=Model(),
        config=config or Config(),
    )  # fmt: skip


@asynccontextmanager
async def routing(
    modes: dict[str, str | list[str]],
    engine: Engine | None = None,
    deadlines: Deadlines = PATIENT,
    policy: RestartPolicy = EAGER,
    ward: Ward | None = None,
    place_wait_s: float = 0,
    standing: Callable[[], Mapping[str, Standing]] | None = None,
) -> AsyncIterator[tuple[Router, FakeLauncher]]:
    launcher = FakeLauncher(modes)
    routers: list[Router] = []

    def event(one: Event) -> None:
        if isinstance(one, WorkerEnded):
            routers[0].worker_ended(one)

    link = LauncherLink(launcher.client, on_event=event, on_closed=lambda: None)
    router = Router(
        link, engine or Engine(), deadlines=deadlines, policy=policy, ward=ward,
        place_wait_s=place_wait_s, standing=standing,
    )  # fmt: skip
    routers.append(router)
    try:
        yield router, launcher
    finally:
        await router.close()
        link.close()
        launcher.close()
        assert not launcher.live


async def ask(
    router: Router, model: str = "m", tenant: str = "acme", prompt: str = "hi", tokens: int = 8,
    config: Config | None = None,
) -> Stream | Unavailable:  # fmt: skip
    wanted, settings = start(model, tenant, config), config or Config()
    worker = router.worker(
        wanted, TEXT, weigh=lambda: engine_footprint(Digest(wanted.digest), Model(), settings)
    )
    return await worker.open(Sampling(max_tokens=tokens), None, prompt)


async def drain(stream: Stream | Unavailable) -> list[Item]:
    assert isinstance(stream, Stream), stream
    items: list[Item] = []
    while not items or isinstance(items[-1], Chunk):
        items += await stream.receive()
    return items


async def until(check: Callable[[], bool], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
