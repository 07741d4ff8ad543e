"""The rate of connections of an address: who is slowed down, and at whose cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.ids import TenantName
from corral.gateway.newcomers import (
    BURST,
    PER_SECOND,
    TENANT_BURST,
    TENANT_PER_SECOND,
    Newcomers,
    neighbourhood,
)
from corral.gateway.room import Caps, Room, Visit

ACME, OTHER = TenantName("acme"), TenantName("other")
SECOND = 1_000_000_000
BAD, GOOD = "203.0.113.9", "198.51.100.7"


def nobody() -> set[str]:
    return set()


def flood(newcomers: Newcomers, *, seconds: int, per_second: int = 100, proof: bool = False) -> int:
    """Return how many of a flood from BAD are let in."""
    let_in = 0
    for number in range(seconds * per_second):
        now = number * SECOND // per_second
        if number % per_second == 0:
            newcomers.proved(GOOD, ACME, now, first=False)
        if not newcomers.refuses(BAD, now, nobody):
            let_in += 1
            if proof:
                newcomers.proved(BAD, OTHER, now, first=True)
    return let_in


@pytest.mark.claim("SLOW-06")
def test_a_flood_comes_at_its_rate_while_somebody_else_is_served() -> None:
    assert flood(Newcomers(), seconds=30) <= BURST + 30 * PER_SECOND + 1
    # With a live key there are more of them, and not without end either.
    proved = flood(Newcomers(), seconds=30, proof=True)
    assert proved > BURST + 30 * PER_SECOND
    assert proved <= BURST + TENANT_BURST + 30 * (PER_SECOND + TENANT_PER_SECOND) + 2


@pytest.mark.claim("SLOW-06")
def test_the_served_client_is_never_slowed_down() -> None:
    newcomers = Newcomers()
    flood(newcomers, seconds=5)
    for number in range(200):  # a connection for each question, fifteen a second
        now = 5 * SECOND + number * SECOND // 15
        newcomers.refuses(BAD, now, nobody)
        assert not newcomers.refuses(GOOD, now, lambda: {BAD})
        newcomers.proved(GOOD, ACME, now, first=True)


@pytest.mark.claim("SLOW-06")
def test_where_nobody_else_is_served_nobody_is_refused() -> None:
    """The control: the same flood, at nobody's cost."""
    newcomers = Newcomers()
    assert not any(newcomers.refuses(BAD, n * SECOND // 100, nobody) for n in range(3000))
    # Its own address's requests do not count, another's do; and no debt was kept.
    now = 30 * SECOND
    assert not newcomers.refuses(BAD, now, lambda: {BAD})
    assert newcomers.refuses(BAD, now, lambda: {GOOD})
    assert not newcomers.refuses(BAD, now + SECOND // PER_SECOND * 2, lambda: {GOOD})


def test_a_key_of_long_ago_is_nobody_served() -> None:
    newcomers = Newcomers()
    newcomers.proved(GOOD, ACME, 0, first=True)
    assert any(newcomers.refuses(BAD, SECOND, nobody) for _ in range(BURST + 1))
    assert not newcomers.refuses(BAD, 11 * SECOND, nobody)
    assert not any(newcomers.refuses(BAD, 11 * SECOND, nobody) for _ in range(BURST * 2))


def test_a_host_with_a_prefix_of_its_own_is_one_address() -> None:
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:1%eth0")
    assert neighbourhood("2001:db8:0:1::1") != neighbourhood("2001:db8::1")
    assert neighbourhood(GOOD) == GOOD


@given(st.lists(st.tuples(st.integers(0, 9999), st.integers(0, SECOND // 50)), max_size=50))
def test_addresses_without_end_cost_no_memory(steps: list[tuple[int, int]]) -> None:
    newcomers = Newcomers()
    for number in range(4200):
        newcomers.refuses(f"10.0.{number >> 8}.{number & 255}", 0, nobody)
    now = 0
    for number, later in steps:
        now += later
        newcomers.refuses(f"10.9.{number >> 8}.{number & 255}", now, lambda: {GOOD})
        newcomers.proved(f"10.{number % 7}.0.1", ACME, now, first=True)
    assert len(newcomers._addresses._due_ns) <= 4096
    assert len(newcomers._proved) <= 2


@pytest.mark.claim("SLOW-06")
def test_the_room_turns_the_flood_away_and_keeps_who_is_inside() -> None:
    now = [0]
    caps = Caps(connections=2000, per_address=0, per_tenant=10)
    room = Room(caps, clock=lambda: now[0])
    good = room.enter(GOOD)
    assert isinstance(good, Visit)
    good.busy = lambda: True
    good.end = pytest.fail
    assert good.introduce(ACME)
    said = []
    for number in range(1000):
        now[0] = 20 * SECOND + number * SECOND // 100  # its key came long ago; it still runs
        said.append(room.enter(BAD))
    assert set(said[:BURST]) & {"pace"} == set()
    assert said.count("pace") >= 1000 - BURST - 10 * PER_SECOND - 1
    good.leave()
    assert isinstance(room.enter(BAD), Visit)
