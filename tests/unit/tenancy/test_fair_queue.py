"""The fair queue against the bounds of the paper, before an engine that is simulated."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.tenancy.fair_queue import (
    ANSWER_COST,
    BATCH_WAITS_S,
    PROMPT_COST,
    STALL_S,
    Entry,
    FairQueue,
    Turn,
)


@dataclass(eq=False)
class Running:
    """A request with an engine: a token for each step."""

    tenant: str
    turn: Turn
    prompt: int
    answer: int
    answer_tokens: int = 0


@dataclass(eq=False)
class Engine:
    """Makes one token for each running request in each step; counts what each tenant got."""

    capacity: int
    lane_places: int = 64
    now_s: float = 0
    service: dict[str, int] = field(default_factory=dict)
    running: list[Running] = field(default_factory=list)
    started: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue = FairQueue(self.capacity, clock_s=lambda: self.now_s)
        self.waiting: list[tuple[asyncio.Future[Turn], str, int, int]] = []

    def ask(
        self, tenant: str, prompt: int = 1, answer: int = 1, *, weight: int = 1,
        batch: bool = False, lane: str = "",
    ) -> None:  # fmt: skip
        entry = Entry(
            tenant=tenant, lane=lane or tenant, lane_places=self.lane_places, weight=weight,
            batch=batch, prompt_tokens=prompt,
        )  # fmt: skip
        self.service.setdefault(tenant, 0)
        self.waiting.append((self.queue.join(entry).turn, tenant, prompt, answer))
        self.take()

    def take(self) -> None:
        for one in list(self.waiting):
            future, tenant, prompt, answer = one
            if future.done():
                self.waiting.remove(one)
                running = Running(tenant, future.result(), prompt, answer)
                running.turn.follow(running)
                self.running.append(running)
                self.started.append(tenant)
                self.service[tenant] += PROMPT_COST * prompt

    def step(self) -> None:
        self.now_s += 0.1
        for one in self.running:
            one.answer_tokens += 1
            self.service[one.tenant] += ANSWER_COST
        for one in [one for one in self.running if one.answer_tokens >= one.answer]:
            self.running.remove(one)
            one.turn.leave()
            one.turn.settle(one.prompt, one.answer_tokens)
            self.take()
        assert len(self.running) <= self.capacity

    def count(self, tenant: str) -> int:
        return sum(one[1] == tenant for one in self.waiting)


def run(body: object) -> None:
    async def main() -> None:
        body()  # type: ignore[operator]

    asyncio.run(main())


SIZES = st.tuples(st.integers(1, 40), st.integers(1, 20))


@pytest.mark.claim("LIM-08")
@settings(deadline=None, max_examples=60)
@given(
    capacity=st.integers(1, 6),
    sizes=st.lists(st.lists(SIZES, min_size=1, max_size=5), min_size=2, max_size=4),
    weights=st.lists(st.integers(1, 4), min_size=4, max_size=4),
    steps=st.integers(50, 200),
)
def test_the_service_of_backlogged_tenants_stays_within_the_bound(
    capacity: int, sizes: list[list[tuple[int, int]]], weights: list[int], steps: int
) -> None:
    """Theorem 4.4: the gap is at most 2 * max(w_p * L_input, w_q * M), M tokens of one batch."""

    def body() -> None:
        engine = Engine(capacity)
        asked = dict.fromkeys(range(len(sizes)), 0)
        flat = [size for one in sizes for size in one]
        prompt_max, answer_max = max(p for p, _ in flat), max(a for _, a in flat)
        bound = 2 * max(PROMPT_COST * prompt_max, ANSWER_COST * capacity * answer_max)
        before: dict[str, int] | None = None  # the bound is on time in which both are backlogged
        for _ in range(steps):
            for number, own in enumerate(sizes):
                while engine.count(str(number)) < capacity + 1:  # backlogged all the time
                    prompt, answer = own[asked[number] % len(own)]
                    asked[number] += 1
                    engine.ask(str(number), prompt, answer, weight=weights[number])
            assert len(engine.running) == capacity  # work-conserving
            before = before or dict(engine.service)
            engine.step()
            shares = [
                (engine.service[str(n)] - before[str(n)]) / weights[n] for n in range(len(sizes))
            ]
            assert max(shares) - min(shares) <= bound

    run(body)


@pytest.mark.claim("LIM-08")
def test_first_come_first_served_breaks_the_bound() -> None:
    """The attack without the defence: one name for all, which is one first-come queue."""

    def body() -> None:
        engine = Engine(2)
        for _ in range(200):
            engine.ask("all", 1, 10, lane="flooder")
        engine.ask("all", 1, 10, lane="light")
        for _ in range(500):
            engine.step()
        assert engine.count("all") > 0
        assert all(one.turn.lane == "flooder" for one in engine.running)

    run(body)


@pytest.mark.claim("LIM-08")
@settings(deadline=None, max_examples=30)
@given(flood=st.integers(10, 100), capacity=st.integers(1, 4), answer=st.integers(1, 30))
def test_a_light_tenant_is_next_whoever_floods(flood: int, capacity: int, answer: int) -> None:
    def body() -> None:
        engine = Engine(capacity)
        for _ in range(flood):
            engine.ask("flooder", 10, answer)
        engine.step()
        engine.ask("light", 10, 1)
        for _ in range(answer):
            engine.step()
        assert "light" in engine.started[: 2 * capacity + 1]

    run(body)


@pytest.mark.claim("LIM-09")
def test_time_without_requests_is_not_saved_up() -> None:
    def body() -> None:
        engine = Engine(1)
        for _ in range(50):
            engine.ask("busy", 1, 10)
        for _ in range(200):
            engine.step()
        for _ in range(20):
            engine.ask("late", 1, 10)
        before = engine.service["busy"]
        for _ in range(200):
            engine.step()
        got = engine.service["busy"] - before
        assert abs(got - engine.service["late"]) <= 2 * ANSWER_COST * 10 + 2

    run(body)


@pytest.mark.claim("LIM-13")
def test_how_long_a_tenant_had_a_place_is_told_by_the_clock_alone() -> None:
    async def body() -> None:
        now_s = 0.0
        queue = FairQueue(2, clock_s=lambda: now_s)

        def ran() -> dict[str, float]:
            return {name: one.ran_s for name, one in queue.standing().items()}

        def entry(tenant: str) -> Entry:
            return Entry(tenant=tenant, lane=tenant, lane_places=9, prompt_tokens=0)

        now_s = 1.0
        first, second = await queue.enter(entry("a")), await queue.enter(entry("a"))
        waits = queue.join(entry("b"))
        now_s = 4.0
        assert ran() == {"a": 3, "b": 0}, "two places at once are no more time, a line is none"
        first.leave()
        now_s = 5.0
        second.leave()
        now_s = 9.0
        assert ran() == {"a": 4, "b": 5}
        waits.turn.result().leave()
        now_s = 20.0
        assert ran() == {"a": 4, "b": 5}
        await queue.enter(entry("a"))
        now_s = 21.0
        assert ran() == {"a": 5, "b": 5}

    asyncio.run(body())


@pytest.mark.claim("LIM-09")
@pytest.mark.parametrize("way", ["batch", "full worker"])
def test_waiting_for_what_cannot_go_saves_nothing_up(way: str) -> None:
    def body() -> None:
        engine = Engine(8, lane_places=4)

        def backlog(tenant: str, *, batch: bool = False) -> None:
            while engine.count(tenant) < 12:
                engine.ask(tenant, 1, 10, batch=batch, lane=f"{tenant}{engine.count(tenant)}-")

        if way == "full worker":
            # One slow answer holds its worker's only place; another request waits for it.
            engine.lane_places = 1
            engine.ask("sly", 1, 10_000, lane="sly")
            engine.ask("sly", 1, 1, lane="sly")
            engine.lane_places = 4
        for step in range(3000):
            backlog("b")
            backlog("c")
            if way == "batch" and step % 300 == 0:
                engine.ask("sly", 1, 1, batch=True, lane="batch")
            engine.step()
        before = dict(engine.service)
        for _ in range(600):
            for tenant in ("sly", "b", "c"):
                backlog(tenant)
            engine.step()
        got = [engine.service[tenant] - before[tenant] for tenant in ("sly", "b", "c")]
        # The paper's bound, for answers of 10 tokens of which 8 run at once.
        assert max(got) - min(got) <= 2 * ANSWER_COST * 10 * 8, got

    run(body)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), SIZES, st.booleans(), st.integers(0, 3)),
        min_size=1, max_size=40,
    ),
    st.integers(1, 3),
)  # fmt: skip
def test_a_place_is_never_free_while_somebody_waits_and_all_are_served(
    requests: Iterable[tuple[str, tuple[int, int], bool, int]], capacity: int
) -> None:
    def body() -> None:
        engine = Engine(capacity)
        for tenant, (prompt, answer), batch, steps in requests:
            engine.ask(tenant, prompt, answer, batch=batch)
            for _ in range(steps):
                engine.step()
            assert not engine.waiting or len(engine.running) == capacity
        for _ in range(1000):
            engine.step()
        assert not engine.waiting
        assert not engine.running
        assert not engine.queue._lanes

    run(body)


def test_weights_share_engine_time() -> None:
    def body() -> None:
        engine = Engine(2)
        for _ in range(400):
            for tenant in "ab":
                while engine.count(tenant) < 3:
                    engine.ask(tenant, 2, 5, weight=3 if tenant == "a" else 1)
            engine.step()
        assert 2.7 < engine.service["a"] / engine.service["b"] < 3.3

    run(body)


@pytest.mark.claim("LIM-10")
def test_batch_waits_for_interactive_but_not_for_ever() -> None:
    def body() -> None:
        engine = Engine(1)
        engine.ask("a", 1, 5)
        engine.ask("b", 1, 5, batch=True)
        for _ in range(int(BATCH_WAITS_S / 0.1) - 1):
            while engine.count("a") < 2:
                engine.ask("a", 1, 5)
            engine.step()
        assert "b" not in engine.started
        for _ in range(12):
            while engine.count("a") < 2:
                engine.ask("a", 1, 5)
            engine.step()
        assert "b" in engine.started

    run(body)


@pytest.mark.claim("LIM-11")
def test_a_worker_that_hangs_keeps_its_slot_but_no_place() -> None:
    async def main() -> None:
        engine = Engine(1)
        engine.ask("hung", 1, 10**9)
        engine.ask("good", 1, 1)
        engine.now_s += STALL_S  # no step: nothing comes
        await asyncio.sleep(0.6)
        engine.take()
        assert engine.started == ["hung", "good"]

    async def alive() -> None:
        engine = Engine(1)
        engine.ask("slow", 1, 10**9)
        engine.ask("good", 1, 1)
        for _ in range(int(STALL_S / 0.1) + 5):
            engine.step()
        await asyncio.sleep(0.6)
        engine.take()
        assert engine.started == ["slow"]

    asyncio.run(main())
    asyncio.run(alive())


def test_a_full_worker_lets_others_pass() -> None:
    def body() -> None:
        engine = Engine(3, lane_places=1)
        for _ in range(3):
            engine.ask("a", 1, 5)
        engine.ask("b", 1, 5)
        assert engine.started == ["a", "b"]

    run(body)


@pytest.mark.parametrize("handed_over", [False, True])
def test_who_goes_away_gives_back_what_it_waits_for(handed_over: bool) -> None:
    async def main() -> None:
        queue = FairQueue(1)

        def entry(tenant: str) -> Entry:
            return Entry(tenant=tenant, lane=tenant, lane_places=4)

        first = await queue.enter(entry("a"))
        gone = asyncio.create_task(queue.enter(entry("b")))
        await asyncio.sleep(0)
        assert queue.position("c") == 1
        assert queue.wait_s(1) > 0
        (shown,) = [t for t in queue.document()["tenants"] if t["waiting"]]  # type: ignore[attr-defined]
        assert (shown["tenant"], shown["running"]) == ("b", 0)
        if handed_over:
            first.leave()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        first.leave()
        first.leave()
        (await asyncio.wait_for(queue.enter(entry("c")), 1)).leave()
        assert queue.wait_s(queue.position("c")) == 0

    asyncio.run(main())
