"""The plan of memory: never too much, never a busy one, the least valuable first."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.config import Config, Engine
from corral.core.ids import Digest
from corral.doctor.memory_limit import memory_limit_bytes
from corral.engine.capacity import Footprint, Occupant, committed_bytes, plan_room
from corral.engine.sizing import engine_footprint
from corral.engine.unavailable import Unavailable
from tests.support.memory_shapes import SMALL_ESTIMATE, Model
from tests.support.routing import ask, drain, routing, until

FOOTPRINTS = st.builds(
    Footprint, st.sampled_from(["a", "b", "c"]), st.integers(0, 50), st.integers(0, 50)
)
OCCUPANTS = st.lists(st.builds(Occupant, FOOTPRINTS, st.floats(0, 1000), st.booleans()), max_size=8)


def kept(occupants: list[Occupant], going: tuple[int, ...]) -> list[Occupant]:
    return [one for at, one in enumerate(occupants) if at not in going]


@pytest.mark.claim("CAP-01")
@given(FOOTPRINTS, OCCUPANTS, st.integers(-10, 400))
def test_a_plan_never_promises_more_than_there_is(
    wanted: Footprint, occupants: list[Occupant], budget: int
) -> None:
    going = plan_room(wanted, occupants, budget)
    if going is None:
        busy = [one.footprint for one in occupants if one.busy]
        assert committed_bytes([wanted, *busy]) > budget
        return
    assert len(set(going)) == len(going)
    assert not any(occupants[at].busy for at in going)
    assert committed_bytes([wanted, *(o.footprint for o in kept(occupants, going))]) <= budget
    # Nobody goes in vain: before the last one went, it was too much.
    if going:
        before = kept(occupants, going[:-1])
        assert committed_bytes([wanted, *(o.footprint for o in before)]) > budget


@pytest.mark.claim("CAP-01")
@given(FOOTPRINTS, OCCUPANTS, st.integers(0, 400))
def test_whoever_goes_first_is_worth_least(
    wanted: Footprint, occupants: list[Occupant], budget: int
) -> None:
    going = plan_room(wanted, occupants, budget)
    if not going:
        return
    everybody = committed_bytes([wanted, *(o.footprint for o in occupants)])

    def worth(at: int) -> float:
        rest = kept(occupants, (at,))
        freed = everybody - committed_bytes([wanted, *(o.footprint for o in rest)])
        return occupants[at].idle_s * freed

    assert worth(going[0]) == max(worth(at) for at, o in enumerate(occupants) if not o.busy)


def test_weights_count_once_for_an_artifact() -> None:
    one, other = Footprint("a", 10, 100), Footprint("b", 10, 100)
    assert committed_bytes([one] * 5) == 150
    assert committed_bytes([one, other]) == 220
    # To unload one of two that share them sets free its private memory only.
    idle = [Occupant(one, 60, busy=False), Occupant(one, 50, busy=False)]
    assert plan_room(Footprint("b", 5, 0), idle, 116) == (0,)
    assert plan_room(Footprint("b", 5, 0), idle, 100) == (0, 1)
    assert plan_room(Footprint("b", 5, 0), idle, 4) is None


def test_the_footprint_is_the_receipts_estimate() -> None:
    found = engine_footprint(Digest("a" * 64), Model(), Config())
    assert found.private_bytes == SMALL_ESTIMATE.private_bytes
    assert found.private_bytes + found.mapped_bytes == SMALL_ESTIMATE.total_bytes


def test_the_least_limit_of_the_groups_above_counts(tmp_path: Path) -> None:
    assert memory_limit_bytes() > 1 << 24
    assert memory_limit_bytes(tmp_path / "none", tmp_path) > 1 << 28  # all of the machine's
    machine = 6_000_000 * 1024
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:   6000000 kB\n")
    (groups / "a" / "b").mkdir(parents=True)
    (groups / "memory" / "c").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("12:cpu:/x\n3:memory:/c\n0::/a/b/missing\n")
    assert memory_limit_bytes(proc, groups) == machine
    (groups / "a" / "b" / "memory.max").write_text("max\n")
    (groups / "a" / "memory.max").write_text("5000000\n")
    assert memory_limit_bytes(proc, groups) == 5_000_000
    (groups / "memory" / "c" / "memory.limit_in_bytes").write_text("4000000\n")
    assert memory_limit_bytes(proc, groups) == 4_000_000


ONE = SMALL_ESTIMATE.total_bytes
TIGHT = Engine(memory_total_bytes=ONE + ONE // 2, memory_reserve_bytes=0, max_workers=8)


@pytest.mark.claim("CAP-02")
def test_an_idle_worker_goes_and_a_busy_one_stays() -> None:
    """One worker fits: the idle one goes, the busy one stays, and the newcomer is told to wait."""
    asyncio.run(_one_place())
    asyncio.run(_two_places())


async def _one_place() -> None:
    async with routing({"slow": "slow"}, TIGHT) as (router, launcher):
        await drain(await ask(router, "m"))
        assert len(launcher.live) == 1
        busy = await ask(router, "slow", tokens=40, prompt="forever")
        await until(lambda: len(launcher.live) == 1 and len(launcher.stopped) == 1)
        refused = await ask(router, "m", tenant="other")
        assert isinstance(refused, Unavailable)
        assert (refused.code, refused.retry_after_s > 0) == ("insufficient_memory", True)
        assert len(launcher.started) == 2
        items = await drain(busy)
        assert len(items) == 41
        await drain(await ask(router, "m", tenant="other"))


async def _two_places() -> None:
    """The control: with room for two, both live."""
    loose = Engine(memory_total_bytes=2 * ONE, memory_reserve_bytes=0)
    async with routing({}, loose) as (router, launcher):
        for model in ("m", "n"):
            await drain(await ask(router, model))
        assert len(launcher.live) == 2
