"""Workers that crash again and again: delays, quarantine, release; through the router."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.engine.router import Router
from corral.engine.unavailable import RestartPolicy, Unavailable
from corral.engine.wire import End, Sampling
from corral.engine.worker_link import Broken, Stream
from corral.ipc.messages import OPERATOR_STOP, WorkerEnded
from corral.state.database import open_database
from corral.tenancy.quarantine import list_quarantines, release_quarantine
from corral.tenancy.ward import Ward
from tests.support.routing import ask, drain, routing, start, until
from tests.support.served_template import TEXT


@pytest.mark.claim("BLS-06")
def test_a_crashed_worker_comes_back_and_a_crash_loop_is_quarantined() -> None:
    async def run() -> None:
        modes: dict[str, str | list[str]] = {"m": ["die", "echo"], "loop": "die"}
        async with routing(modes) as (router, _):
            assert (await drain(await ask(router)))[-1] == Broken("worker_failed")
            await asyncio.sleep(0.1)
            assert isinstance((await drain(await ask(router)))[-1], End)
            for delay_s in (0.06, 0.11, 0):
                await drain(await ask(router, "loop"))
                await asyncio.sleep(delay_s)
            answer = await ask(router, "loop")
            assert isinstance(answer, Unavailable)
            assert answer.code == "model_quarantined"
            assert answer.retry_after_s > 20
            # another tenant's worker of the same model is another matter
            other = await ask(router, "loop", "other")
            assert isinstance(other, Stream)
            await drain(other)

    asyncio.run(run())


@pytest.mark.claim("DRV-04")
def test_what_crashes_as_a_derived_model_is_not_held_back_as_its_base() -> None:
    """Same tenant, same file, same template: the identities differ."""

    async def run() -> None:
        async with routing({"m": ["die", "die", "die", "echo"]}) as (router, launcher):

            async def answer(identity: str) -> object:
                worker = router.worker(start("m"), TEXT, identity=identity)
                return await worker.open(Sampling(max_tokens=8), None, "hi")

            for delay_s in (0.06, 0.11, 0):
                await drain(await answer("d" * 64))  # type: ignore[arg-type]
                await asyncio.sleep(delay_s)
            held = await answer("d" * 64)
            assert isinstance(held, Unavailable)
            assert held.code == "model_quarantined"
            assert isinstance((await drain(await answer("")))[-1], End)  # type: ignore[arg-type]
            assert len({one.digest for one in launcher.started}) == 1

    asyncio.run(run())


async def crash(router: Router, times: int, tenant: str = "acme") -> None:
    for number in range(times):
        assert (await drain(await ask(router, "loop", tenant)))[-1] == Broken("worker_failed")
        await asyncio.sleep(0.06 * 2**number)


async def code_of(router: Router) -> str:
    answer = await ask(router, "loop")
    if isinstance(answer, Stream):
        answer.abandon()
        return "taken"
    return answer.code


@pytest.mark.claim("BLAST-03")
def test_a_quarantine_outlives_the_gateway_and_ends_by_release(tmp_path: Path) -> None:
    database = tmp_path / "corral.db"
    engine = open_database(database)

    async def fall() -> None:
        async with routing({"loop": "die"}, ward=Ward(database)) as (router, _):
            await crash(router, 2)
            assert await code_of(router) == "taken", "two crashes are not three"
            await crash(router, 0)
            await until(lambda: bool(list_quarantines(engine)))
            assert await code_of(router) == "model_quarantined"

    async def rise() -> None:
        async with routing({"loop": "echo"}, ward=Ward(database)) as (router, launcher):
            assert await code_of(router) == "model_quarantined"
            assert launcher.started == []
            release_quarantine(engine, "acme", "loop")
            assert await code_of(router) == "taken"

    asyncio.run(fall())
    (held,) = list_quarantines(engine)
    assert (held.tenant, held.model, held.crashes) == ("acme", "loop", 3)
    asyncio.run(rise())
    assert list_quarantines(engine) == ()
    with pytest.raises(CorralError, match="not_quarantined"):
        release_quarantine(engine, "acme", "loop")


@pytest.mark.claim("BLAST-03")
def test_a_quarantine_ends_by_itself_and_counts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        policy = RestartPolicy(first_delay_s=0.01, crashes_max=2, quarantine_s=3600)
        async with routing({"loop": "die"}, policy=policy) as (router, _):
            await crash(router, 2)
            held_s = time.time()
            monkeypatch.setattr("time.time", lambda: held_s + 3500)
            assert await code_of(router) == "model_quarantined"
            monkeypatch.setattr("time.time", lambda: held_s + 3601)
            await crash(router, 1)
            assert await code_of(router) == "taken", "what came before is forgiven"

    asyncio.run(run())


def test_a_good_answer_ends_the_doubling_of_delays() -> None:
    async def run() -> None:
        modes: dict[str, str | list[str]] = {"m": ["die", "die", "slow", "die"]}
        policy = RestartPolicy(first_delay_s=60, delay_max_s=1000, crashes_max=99)
        loop = asyncio.get_running_loop()
        clock, skipped_s = loop.time, [0.0]
        loop.time = lambda: clock() + skipped_s[0]  # type: ignore[method-assign]

        async def delay_s(router: Router) -> float:
            refused = await ask(router)
            assert isinstance(refused, Unavailable)
            return refused.retry_after_s

        async with routing(modes, policy=policy) as (router, launcher):
            for expected_s in (60, 120):
                await drain(await ask(router))
                assert expected_s / 2 < await delay_s(router) <= expected_s
                skipped_s[0] += expected_s
            assert isinstance((await drain(await ask(router)))[-1], End)
            running = await ask(router, prompt="forever", tokens=1000)
            launcher.live[3].kill()
            assert (await drain(running))[-1] == Broken("worker_failed")
            assert await delay_s(router) <= 60

    asyncio.run(run())


def test_an_operators_stop_quarantines_nobody() -> None:
    async def run() -> None:
        policy = RestartPolicy(first_delay_s=0.01, crashes_max=1)
        async with routing({"m": "slow"}, policy=policy) as (router, launcher):
            stream = await ask(router, prompt="forever", tokens=1000)
            (worker_id,) = launcher.live
            launcher.live[worker_id].kill()
            assert (await drain(stream))[-1] == Broken("worker_failed")
            refused = await ask(router)
            assert isinstance(refused, Unavailable)
            assert refused.code == "model_quarantined"
            router.worker_ended(WorkerEnded(worker_id, "killed", OPERATOR_STOP))
            assert isinstance((await drain(await ask(router)))[-1], End)

    asyncio.run(run())
