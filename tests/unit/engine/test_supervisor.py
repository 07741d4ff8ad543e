"""Lives of workers: hostile ones, silent ones, crashing ones, idle ones; through the router."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from corral.core.config import Config, Engine
from corral.core.limits import WIRE_BACKLOG_LINES
from corral.engine import router as router_module
from corral.engine.router import Router
from corral.engine.unavailable import RestartPolicy, Unavailable
from corral.engine.wire import Chunk, End, Failed
from corral.engine.worker_link import Broken, Stream
from tests.support.routing import PATIENT, ask, drain, routing, until


def test_requests_share_a_worker_and_all_end() -> None:
    async def run() -> None:
        async with routing({}) as (router, launcher):
            streams = await asyncio.gather(*(ask(router, prompt=str(i)) for i in range(4)))
            answers = await asyncio.gather(*(drain(s) for s in streams))
            for index, items in enumerate(answers):
                text = "".join(i.text for i in items if isinstance(i, Chunk))
                assert text == f"you said {index}"
                assert isinstance(items[-1], End)
            assert len(launcher.started) == 1

    asyncio.run(run())


@pytest.mark.claim("BLS-04")
@pytest.mark.parametrize(
    ("mode", "code"),
    [("garbage", "worker_failed"), ("long_line", "worker_failed"), ("endless", "worker_failed"),
     ("long_text", "worker_failed"), ("wrong_id", "worker_failed"), ("die", "worker_failed"),
     ("die_midway", "worker_failed"), ("ready_twice", "worker_failed"),
     ("surrogate", "worker_failed"), ("unasked_logprobs", "worker_failed"),
     ("bad_usage", "worker_failed"), ("false_cancel", "worker_failed"),
     ("bad_code", "worker_failed"), ("silent", "worker_timeout"),
     ("stop_itself", "worker_timeout")],
)  # fmt: skip
def test_a_hostile_worker_costs_only_its_own_request(mode: str, code: str) -> None:
    # The good worker is under the same deadline, so it is longer than a busy machine holds it up.
    silence_s = 3 if code == "worker_timeout" else PATIENT.first_chunk_s
    deadlines = replace(PATIENT, first_chunk_s=silence_s)

    async def run() -> None:
        modes: dict[str, str | list[str]] = {"bad": mode, "good": "slow"}
        async with routing(modes, deadlines=deadlines) as (router, launcher):
            good = asyncio.create_task(
                drain(await ask(router, "good", "other", prompt="forever", tokens=10))
            )
            items = await drain(await ask(router, "bad"))
            assert items[-1] == Broken(code)
            assert isinstance((await good)[-1], End)
            await until(lambda: len(launcher.live) == 1)

    asyncio.run(run())


def test_a_line_after_the_end_kills_the_worker() -> None:
    async def run() -> None:
        async with routing({"m": ["after_end", "echo"]}) as (router, launcher):
            assert isinstance((await drain(await ask(router)))[-1], End | Broken)
            await until(lambda: not launcher.live)

    asyncio.run(run())


def test_a_worker_that_does_not_end_a_cancelled_request_is_killed() -> None:
    async def run() -> None:
        deadlines = replace(PATIENT, cancel_s=0.6)
        async with routing({"m": "forget_cancel"}, deadlines=deadlines) as (router, launcher):
            stream = await ask(router)
            assert isinstance(stream, Stream)
            await stream.receive()
            over: list[object] = []
            stream.when_over(over.append)
            stream.abandon()
            await until(lambda: over == [Broken("worker_timeout")])
            await until(lambda: not launcher.live)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("mode", "code"),
    [("fatal", "model_load_failed"), ("not_sealed", "seal_failed"),
     ("never_ready", "model_load_timeout"),
     ("exit", "worker_failed"), ("refuse", "worker_start_refused"),
     ("stderr_only", "model_load_timeout")],
)  # fmt: skip
def test_a_worker_that_does_not_load_is_a_typed_answer(mode: str, code: str) -> None:
    load_s = 1 if code == "model_load_timeout" else PATIENT.load_s
    deadlines = replace(PATIENT, load_s=load_s)
    policy = RestartPolicy(first_delay_s=30)  # so that the second request comes before it is over

    async def run() -> None:
        async with routing({"m": mode}, deadlines=deadlines, policy=policy) as (router, _):
            answer = await ask(router)
            assert isinstance(answer, Unavailable)
            assert answer.code == code
            again = await ask(router)
            assert isinstance(again, Unavailable)
            assert again.code == (code if mode == "refuse" else "worker_restarting")
            assert 0 < again.retry_after_s <= 30

    asyncio.run(run())


@pytest.mark.claim("SEAL-06")
def test_a_worker_that_only_says_it_is_sealed_gets_no_request() -> None:
    async def run() -> None:
        async with routing({"m": ["unsealed", "echo"]}) as (router, launcher):
            answers = await asyncio.gather(*(ask(router) for _ in range(3)))
            assert launcher.confirmed == [1]
            for answer in answers:  # also those that came while it was looked at
                assert isinstance(answer, Unavailable)
                assert answer.code == "seal_failed"
            await asyncio.sleep(0.1)
            assert await drain(await ask(router))
            assert launcher.confirmed == [1, 2]

    asyncio.run(run())


@pytest.mark.claim("SEAL-06")
def test_a_worker_that_goes_while_it_is_looked_at_is_no_other_fault() -> None:
    async def run() -> None:
        async with routing({"m": "echo"}) as (router, launcher):
            with launcher.deaf_to_workers():
                answer = await ask(router)
            assert isinstance(answer, Unavailable)
            assert answer.code == "worker_failed"

    asyncio.run(run())


def test_cores_that_others_have_are_no_crash() -> None:
    async def run() -> None:
        async with routing({"m": ["taken", "taken", "taken", "taken", "echo"]}) as (router, _):
            for _ in range(4):
                answer = await ask(router)
                assert isinstance(answer, Unavailable)
                assert answer.code == "no_worker_free"
            assert isinstance(await ask(router), Stream)

    asyncio.run(run())


def test_what_the_launcher_refuses_to_start_is_no_crash_of_the_model() -> None:
    async def run() -> None:
        policy = RestartPolicy(first_delay_s=0.001, delay_max_s=0.002, crashes_max=2)
        modes: dict[str, str | list[str]] = {"m": [*["refuse"] * 4, "echo"]}
        async with routing(modes, policy=policy) as (router, _):
            for _ in range(4):
                answer = await ask(router)
                assert isinstance(answer, Unavailable)
                assert answer.code == "worker_start_refused"
                await asyncio.sleep(0.005)
            assert isinstance(await ask(router), Stream)

    asyncio.run(run())


def test_idle_workers_are_unloaded_and_busy_ones_never_evicted() -> None:
    async def run() -> None:
        engine = Engine(max_workers=2, idle_unload_s=1)
        async with routing({"busy": "slow"}, engine) as (router, launcher):
            busy = await ask(router, "busy", prompt="forever", tokens=1000)
            await drain(await ask(router, "a"))
            await drain(await ask(router, "b"))  # takes the place of a
            assert [s.model for s in launcher.started] == ["busy", "a", "b"]
            assert len(launcher.live) == 2
            second = await ask(router, "busy", "other", prompt="forever", tokens=1000)
            refused = await ask(router, "a")
            assert isinstance(refused, Unavailable)
            assert refused.code == "no_worker_free"
            assert isinstance(busy, Stream)
            assert isinstance(second, Stream)
            for stream in (busy, second):
                stream.abandon()
            await until(lambda: not launcher.live)

    asyncio.run(run())


def test_memory_is_given_back_once_when_the_last_worker_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []

    async def run() -> None:
        async with routing({}, Engine(idle_unload_s=1)) as (router, launcher):
            monkeypatch.setattr(
                router_module, "release_free_memory", lambda: given.append(len(launcher.live))
            )
            for count in (1, 2):
                await drain(await ask(router))
                assert len(given) == count - 1, "not while a worker lives"
                await until(lambda count=count: len(given) == count)
                router._look_for_idle()
            assert given == [0, 0], "once for each rest"

    asyncio.run(run())


def test_slots_are_handed_out_first_come_first_served() -> None:
    async def run() -> None:
        config = Config(engine=Engine(parallel=1))
        order: list[int] = []

        async def one(router: Router, number: int) -> None:
            await drain(await ask(router, tokens=1, config=config))
            order.append(number)

        async with routing({"m": "slow"}) as (router, _):
            tasks = []
            for number in range(5):
                tasks.append(asyncio.create_task(one(router, number)))
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            tasks[2].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert order == [0, 1, 3, 4]

    asyncio.run(run())


@pytest.mark.claim("BLAST-05")
def test_a_reader_that_does_not_read_is_ended_and_others_go_on() -> None:
    async def run() -> None:
        async with routing({}) as (router, launcher):
            lazy = await ask(router, prompt="forever", tokens=200_000)
            assert isinstance(lazy, Stream)
            longest_s = 0.0
            while lazy.outcome is None:
                asked_s = time.monotonic()
                assert isinstance((await drain(await ask(router)))[-1], End)
                longest_s = max(longest_s, time.monotonic() - asked_s)
            assert lazy.outcome == Broken("reader_too_slow")
            assert longest_s < 5
            items = await lazy.receive()
            assert len(items) <= WIRE_BACKLOG_LINES + 1
            assert items[-1] == lazy.outcome
            # one that reads gets as much and more from the same worker
            eager = await drain(await ask(router, prompt="forever", tokens=20_000))
            assert isinstance(eager[-1], End)
            assert len(eager) == 20_001
            assert len(launcher.started) == 1

    asyncio.run(run())


def test_a_chatty_worker_is_drained() -> None:
    async def run() -> None:
        async with routing({"m": "chatty"}) as (router, _):
            for _ in range(3):
                assert isinstance((await drain(await ask(router)))[-1], End)

    asyncio.run(run())


def test_a_failure_of_one_request_leaves_the_worker() -> None:
    async def run() -> None:
        async with routing({"m": "too_long"}) as (router, launcher):
            for number in (1, 2):
                items = await drain(await ask(router))
                assert items == [Failed(id=number, code="context_length_exceeded")]
            assert len(launcher.started) == 1

    asyncio.run(run())
