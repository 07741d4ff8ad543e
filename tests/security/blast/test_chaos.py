"""Seeded use and harm at the same time; every answer is compared byte for byte.

Tenants stream from a real server: launcher, gateway, jails and wire are the shipped ones. Three of
them have the real engine, five a fast one behind the production `Engine` protocol
(`chaos_worker.py`); each has two streams at a time and several prompts. Meanwhile workers are
killed, stopped, made to send garbage or to run out of memory, the gateway is killed and stopped,
and strangers send nonsense. A whole answer must be one of the isolated runs, a broken one its
beginning; and whoever nobody did harm to must always get a whole one.

A step is one request that was taken or one harm, not one piece of an answer; a request that was
refused after harm counts as none, and a harm only if it struck a live process. CI does 10,000:
most are short answers of the fast engine on connections that stay. `make nightly` does 12,000 with
the real engine for every tenant.

The plan of each participant follows from the seed; how the plans interleave is the machine's.

    CORRAL_CHAOS_REQUESTS  requests (9,870)
    CORRAL_CHAOS_HARMS     harms (130)
    CORRAL_CHAOS_SEED      another plan
    CORRAL_CHAOS_NIGHTLY   1: every tenant has the real engine
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

from corral.control.client import LauncherClient
from corral.core.home import Home
from corral.tenancy.grants import grant_model
from corral.tenancy.keys import create_key
from corral.tenancy.tenants import add_tenant
from tests.security.blast.chaos_client import Answer, Place
from tests.security.blast.chaos_herd import ATTACKS, Outcome, Tenant, Vandal
from tests.support.jail_job import replace_worker
from tests.support.server import RunningServer, copy_home, start_server, wait_until

HERE = Path(__file__).parent
REQUESTS = int(os.environ.get("CORRAL_CHAOS_REQUESTS", "9870"))
HARMS = int(os.environ.get("CORRAL_CHAOS_HARMS", "130"))
SEED = int(os.environ.get("CORRAL_CHAOS_SEED", "20261123"))
NIGHTLY = os.environ.get("CORRAL_CHAOS_NIGHTLY") == "1"
REAL, FAKE = (8, 0) if NIGHTLY else (3, 5)
REAL_SHARE = 1.0 if NIGHTLY else 0.015
"""Of the requests; real answers take longer."""
GATEWAYS = max(2, HARMS // 50)
PROMPTS = (
    "Count to ten.", "Name the colours of the rainbow.", "What is the capital of France?",
    "Write a short poem about rain.", "Say hello in three languages.", "What is two plus two?",
    "List five animals.", "Tell me about the sea.", "What do bees do?", "Describe a cat.",
    "Name three rivers.", "Why is the sky blue?", "What is bread made of?", "Who was Newton?",
    "Tell me a joke.", "What is a prime number?",
)  # fmt: skip
EACH = 2
"""Prompts of a tenant with the real engine."""
PARALLEL = 2
VANDALS = 2
PAUSE_S = 0.08
LIMIT_S = 600 if not NIGHTLY else 8 * 3600


@pytest.fixture(scope="module")
def server(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = copy_home(model_home, tmp_path_factory.mktemp("chaos") / "home")
    rootfs = replace_worker(home, HERE / "chaos_worker.py")
    package = next(rootfs.glob("opt/python/lib/python3.*/site-packages/corral/engine"))
    shutil.copyfile(HERE / "hostile_worker.py", package / "hostile.py")
    (home / "corral.toml").write_text(
        f"[engine]\nparallel = {PARALLEL}\nmemory_bytes = 700000000\nthreads = 1\n"
        "event_interval_ms = 0\nmax_workers = 32\n"
        "crashes_max = 1000\n"
        "[limits]\nrequests_per_minute = 1000000\n"
    )
    running = start_server(home)
    yield running
    running.stop()


def make_tenants(server: RunningServer, count: int, kind: str) -> list[Tenant]:
    home = Home(server.home)
    made = []
    for number in range(count):
        name = f"{kind}-{number}"
        add_tenant(home.database, name)
        grant_model(home.database, name, "*")
        key, _ = create_key(home.database, home.pepper.read_bytes(), tenant=name, name="chaos")
        prompts = tuple(f"{name} says {i}" for i in range(4))
        if kind.startswith("real"):
            prompts = PROMPTS[number * EACH : (number + 1) * EACH]
        made.append(Tenant(name, key, prompts, tokens=16 if kind.startswith("real") else 4))
    return made


def stop_worker(server: RunningServer, tenant: str) -> None:
    with closing(LauncherClient.connect(Home(server.home).control_socket)) as client:
        for worker in list(client.workers()):
            if worker.tenant == tenant:
                client.stop(worker.worker_id)


async def whole_answer(place: Place, tenant: Tenant, prompt: str) -> Outcome:
    answer = await Answer.ask(place, tenant.key, prompt, tenant.tokens)
    with closing(answer):
        while await answer.read():
            pass
    assert answer.whole, answer.error
    return answer.text, answer.finish


async def take_references(server: RunningServer, place: Place, herd: list[Tenant]) -> None:
    """Run the prompts of each tenant where nobody else is: in a worker that saw nothing else.

    The real engine is asked alone, again with the prompt in its cache, and for both prompts at the
    same time: sums of a larger batch are rounded in another order, which may change a word.
    """
    alone = {kind: make_tenants(server, 1, f"{kind}-alone")[0] for kind in ("real", "fake")}
    for tenant in herd:
        lone = replace(alone["real" if tenant.real else "fake"], tokens=tenant.tokens)
        for prompt in tenant.prompts:
            found = {await whole_answer(place, lone, prompt)}
            if tenant.real:
                found.add(await whole_answer(place, lone, prompt))
                assert len(found) == 1, "the engine itself varies"
            tenant.references[prompt] = found
        if tenant.real:
            for _ in range(2):
                pair = await asyncio.gather(
                    *(whole_answer(place, lone, prompt) for prompt in tenant.prompts)
                )
                for prompt, answer in zip(tenant.prompts, pair, strict=True):
                    tenant.references[prompt].add(answer)
            stop_worker(server, lone.name)


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 120)
@pytest.mark.claim("BLAST-06")
def test_nobody_meets_anybody_elses_chaos(server: RunningServer) -> None:
    place = Place.of(server)
    herd = make_tenants(server, REAL, "real") + make_tenants(server, FAKE, "fake")
    real_quota = int(REQUESTS * REAL_SHARE / REAL)
    fake_quota = -(-(REQUESTS - real_quota * REAL) // FAKE) if FAKE else 0
    vandals = [
        Vandal(server, place, herd, random.Random(f"{SEED}/vandal/{i}")) for i in range(VANDALS)
    ]

    async def run() -> float:
        await take_references(server, place, herd)
        began = time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
                for tenant in herd:
                    quota = real_quota if tenant.real else fake_quota
                    for number in range(PARALLEL):
                        rng = random.Random(f"{SEED}/{tenant.name}/{number}")
                        group.create_task(tenant.stream(place, quota, rng))
                for number, vandal in enumerate(vandals):
                    quota = HARMS // VANDALS
                    gateways = GATEWAYS if number == 0 else 0
                    group.create_task(vandal.rage(quota, pause_s=PAUSE_S, gateways=gateways))
        except TimeoutError:
            pytest.fail(f"not done: {herd} {[v.harms for v in vandals]}")
        return time.monotonic() - began

    took_s = asyncio.run(run())
    requests = sum((tenant.requests for tenant in herd), Counter[str]())
    harms = sum((vandal.harms for vandal in vandals), Counter[str]())
    nonsense = sum((vandal.nonsense for vandal in vandals), Counter[str]())
    taken = sum(tenant.taken for tenant in herd)
    real = sum(tenant.taken for tenant in herd if tenant.real)
    reads = sum(tenant.reads for tenant in herd)
    print(f"\nchaos: {taken} requests taken ({real} by the real engine, {reads} pieces read)")
    print(f"       {harms.total()} harms, {nonsense.total()} times nonsense, in {took_s:.0f} s")
    print(f"requests: {dict(requests)}\nharms: {dict(harms)}\nnonsense: {dict(nonsense)}")
    assert [failure for tenant in herd for failure in tenant.failures] == []
    assert taken >= REQUESTS * 0.99
    assert harms.total() >= HARMS - VANDALS
    assert set(harms) == {
        "kill",
        "stop",
        "stop and continue",
        "gateway SIGKILL",
        "gateway SIGSTOP",
        *ATTACKS,
    }
    for tenant in herd:
        assert tenant.requests["whole"] >= 5, f"{tenant.name}: {dict(tenant.requests)}"

    async def everybody() -> bool:
        for tenant in herd:
            for prompt in tenant.prompts:
                if await whole_answer(place, tenant, prompt) not in tenant.references[prompt]:
                    return False
        return True

    def recovered() -> bool:
        try:
            return asyncio.run(everybody())
        except Exception:
            return False

    assert wait_until(recovered, seconds=60)


def test_the_comparison_finds_a_difference(server: RunningServer) -> None:
    """A wrong reference, an answer that breaks off with nobody to blame, an untyped end."""
    place = Place.of(server)
    (tenant,) = make_tenants(server, 1, "fake-control")

    (prompt, *_) = tenant.prompts = tenant.prompts[:1]

    async def run() -> None:
        text, finish = await whole_answer(place, tenant, prompt)
        tenant.references = {prompt: {(text, finish)}}
        await tenant.stream(place, 5, random.Random(1))
        assert tenant.failures == []
        tenant.references = {prompt: {(text[:-2] + "X ", finish)}}
        await tenant.stream(place, 15, random.Random(1))
        assert any("not of" in failure for failure in tenant.failures)
        tenant.references = {prompt: {(text, finish)}}
        tenant.failures.clear()
        loop = asyncio.get_running_loop()
        for delay_s in range(1, 20):
            loop.call_later(delay_s / 2, stop_worker, server, tenant.name)
        while not tenant.failures:
            await tenant.stream(place, tenant.taken + 10, random.Random(1))
        assert any("nobody did it harm" in failure for failure in tenant.failures)

    asyncio.run(run())
