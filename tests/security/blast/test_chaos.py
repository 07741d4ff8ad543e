"""10,000 seeded steps of use and harm; every answer is compared byte for byte.

Tenants stream from a real server: launcher, gateway, jails and wire are the shipped ones. Three of
them have the real engine, five a fast one behind the production `Engine` protocol
(`chaos_worker.py`). Meanwhile workers are killed, stopped, continued and made to send garbage, the
gateway is killed, and strangers send nonsense. A whole answer must be that of the isolated run, a
broken one its beginning; and whoever nobody did harm to must always get a whole one.

The plan of each participant follows from the seed; how the plans interleave is the machine's.

    CORRAL_CHAOS_STEPS     steps (10,000)
    CORRAL_CHAOS_SEED      another plan
    CORRAL_CHAOS_NIGHTLY   1: every tenant has the real engine; takes hours with more steps
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from corral.core.home import Home
from corral.ipc.client import LauncherClient
from corral.state.database import open_database
from corral.tenancy.grants import grant_model
from corral.tenancy.keys import create_key
from corral.tenancy.tenants import add_tenant
from tests.security.blast.chaos_client import Answer, Place
from tests.security.blast.chaos_herd import Tenant, Vandal
from tests.support.jail_job import replace_worker
from tests.support.server import RunningServer, copy_home, start_server, wait_until

HERE = Path(__file__).parent
STEPS = int(os.environ.get("CORRAL_CHAOS_STEPS", "10000"))
SEED = int(os.environ.get("CORRAL_CHAOS_SEED", "20261123"))
NIGHTLY = os.environ.get("CORRAL_CHAOS_NIGHTLY") == "1"
REAL, FAKE = (8, 0) if NIGHTLY else (3, 5)
REAL_SHARE, HARM_SHARE = (0.95, 0.05) if NIGHTLY else (0.18, 0.05)
PROMPTS = (
    "Count to ten.", "Name the colours of the rainbow.", "What is the capital of France?",
    "Write a short poem about rain.", "Say hello in three languages.", "What is two plus two?",
    "List five animals.", "Tell me about the sea.",
)  # fmt: skip
PAUSE_S = 0.045
LIMIT_S = 150 if STEPS <= 10_000 and not NIGHTLY else STEPS


@pytest.fixture(scope="module")
def server(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = copy_home(model_home, tmp_path_factory.mktemp("chaos") / "home")
    rootfs = replace_worker(home, HERE / "chaos_worker.py")
    package = next(rootfs.glob("opt/python/lib/python3.*/site-packages/corral/engine"))
    shutil.copyfile(HERE / "hostile_worker.py", package / "hostile.py")
    (home / "corral.toml").write_text(
        "[engine]\nparallel = 1\nthreads = 1\nevent_interval_ms = 0\nmax_workers = 32\n"
        "crashes_max = 1000\n"
        "[limits]\nrequests_per_minute = 1000000\n"
    )
    running = start_server(home)
    yield running
    running.stop()


def make_tenants(server: RunningServer, count: int, kind: str) -> list[Tenant]:
    home = Home(server.home)
    engine = open_database(home.database)
    made = []
    for number in range(count):
        name = f"{kind}-{number}"
        add_tenant(engine, name)
        grant_model(engine, name, "*")
        key, _ = create_key(engine, home.pepper.read_bytes(), tenant=name, name="chaos")
        prompt = PROMPTS[number] if kind.startswith("real") else f"{name} says {number}"
        made.append(Tenant(name, key, prompt, tokens=16 if kind.startswith("real") else 24))
    engine.dispose()
    return made


def stop_worker(server: RunningServer, tenant: str) -> None:
    with closing(LauncherClient.connect(Home(server.home).control_socket)) as client:
        for worker in list(client.workers()):
            if worker.tenant == tenant:
                client.stop(worker.worker_id)


async def whole_answer(place: Place, tenant: Tenant) -> tuple[str, str]:
    answer = await Answer.ask(place, tenant.key, tenant.prompt, tenant.tokens)
    with closing(answer):
        while await answer.read():
            pass
    assert answer.whole, answer.error
    return answer.text, answer.finish


async def take_references(server: RunningServer, place: Place, herd: list[Tenant]) -> None:
    """Run each prompt alone on this machine; the real engine in a worker that saw nothing else."""
    alone = {kind: make_tenants(server, 1, f"{kind}-alone")[0] for kind in ("real", "fake")}
    for tenant in herd:
        one = alone["real" if tenant.real else "fake"]
        lone = replace(one, prompt=tenant.prompt, tokens=tenant.tokens)
        tenant.reference = await whole_answer(place, lone)
        if tenant.real:
            again = await whole_answer(place, lone)  # now with its prompt in the worker's cache
            assert again == tenant.reference, "the engine itself varies"
            stop_worker(server, lone.name)


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 120)
@pytest.mark.claim("BLAST-06")
def test_nobody_meets_anybody_elses_chaos(server: RunningServer) -> None:
    place = Place.of(server)
    herd = make_tenants(server, REAL, "real") + make_tenants(server, FAKE, "fake")
    real_quota = int(STEPS * REAL_SHARE / REAL)
    harm_quota = int(STEPS * HARM_SHARE)
    fake_quota = (STEPS - harm_quota - real_quota * REAL) // FAKE if FAKE else 0
    vandal = Vandal(server, place, herd, random.Random(f"{SEED}/vandal"))

    async def run() -> float:
        await take_references(server, place, herd)
        began = time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
                for tenant in herd:
                    quota = real_quota if tenant.real else fake_quota
                    group.create_task(
                        tenant.stream(place, quota, random.Random(f"{SEED}/{tenant.name}"))
                    )
                group.create_task(vandal.rage(harm_quota, pause_s=PAUSE_S, gateways=2))
        except TimeoutError:
            pytest.fail(f"not done: {herd} {vandal.steps}")
        return time.monotonic() - began

    took_s = asyncio.run(run())
    steps = sum((tenant.steps for tenant in herd), Counter[str]())
    real = sum(tenant.steps.total() for tenant in herd if tenant.real)
    total = steps.total() + vandal.steps.total()
    print(f"\nchaos: {total} steps in {took_s:.0f} s, {real} of them with the real engine")
    print(f"tenants: {dict(steps)}\nharm: {dict(vandal.steps)}")
    assert [failure for tenant in herd for failure in tenant.failures] == []
    assert total >= STEPS * 0.99
    assert vandal.steps["kill_gateway"] == 2
    for tenant in herd:
        assert tenant.steps["whole"] >= 5, f"{tenant.name}: {dict(tenant.steps)}"

    def recovered() -> bool:
        try:
            return all(asyncio.run(whole_answer(place, t)) == t.reference for t in herd)
        except Exception:
            return False

    assert wait_until(recovered, seconds=60)


def test_the_comparison_finds_a_difference(server: RunningServer) -> None:
    """A wrong reference, an answer that breaks off with nobody to blame, an untyped end."""
    place = Place.of(server)
    (tenant,) = make_tenants(server, 1, "fake-control")

    async def run() -> None:
        text, finish = await whole_answer(place, tenant)
        tenant.reference = (text, finish)
        await tenant.stream(place, 30, random.Random(1))
        assert tenant.failures == []
        tenant.reference = (text[:-2] + "X ", finish)
        await tenant.stream(place, 130, random.Random(1))
        assert any("is not" in failure for failure in tenant.failures)
        tenant.reference = (text, finish)
        tenant.failures.clear()
        loop = asyncio.get_running_loop()
        for delay_s in range(1, 20):
            loop.call_later(delay_s / 2, stop_worker, server, tenant.name)
        while not tenant.failures:
            await tenant.stream(place, tenant.steps.total() + 100, random.Random(1))
        assert any("nobody did it harm" in failure for failure in tenant.failures)

    asyncio.run(run())
