"""Places by address and tenant, against an exact model of who may stay."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.ids import TenantName
from corral.gateway.room import Caps, Room, Visit

ACME, OTHER = TenantName("acme"), TenantName("other")


class Guests:
    """A room with the visits that were let in and have not been sent away."""

    def __init__(self, caps: Caps) -> None:
        # A second between any two: how fast newcomers come is another matter (test_newcomers).
        self.room = Room(caps, clock=itertools.count(0, 1_000_000_000).__next__)
        self.inside: list[Visit] = []
        self.sent_away: list[tuple[Visit, str]] = []

    def enter(self, address: str, tenant: TenantName | None = None, *, busy: bool = False) -> str:
        visit = self.room.enter(address)
        if isinstance(visit, str):
            return visit
        visit.end = lambda reason, visit=visit: self._gone(visit, reason)  # type: ignore[misc]
        visit.busy = lambda: busy
        self.inside.append(visit)
        if tenant is not None and not visit.introduce(tenant):
            visit.leave()
            self.inside.remove(visit)
            return "tenant"
        return ""

    def _gone(self, visit: Visit, reason: str) -> None:
        self.inside.remove(visit)
        self.sent_away.append((visit, reason))


def caps(connections: int = 9, per_address: int = 9, per_tenant: int = 9) -> Caps:
    return Caps(connections=connections, per_address=per_address, per_tenant=per_tenant)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["1.1.1.1", "2.2.2.2", "3.3.3.3"]),
        st.sampled_from([None, ACME, OTHER]),
        st.booleans(),
        st.integers(-1, 6),
    ),
    max_size=60,
)


@pytest.mark.claim("SLOW-01")
@given(STEPS, st.integers(1, 6), st.integers(0, 5), st.integers(1, 4))
def test_no_cap_is_ever_passed_and_no_running_request_ever_cut(
    steps: list[tuple[str, TenantName | None, bool, int]], total: int, address: int, tenant: int
) -> None:
    guests = Guests(caps(total, address, tenant))
    for where, who, busy, leaving in steps:
        before = len(guests.inside)
        refused = guests.enter(where, who, busy=busy)
        inside = guests.inside
        assert len(guests.room) == len(inside) <= total
        if address:
            assert sum(one.address == where for one in inside) <= address
        for name in (ACME, OTHER):
            assert sum(one.tenant == name for one in inside) <= tenant
        for one, _ in guests.sent_away:
            assert one.tenant is None or not one.busy()
        if refused == "connections":
            assert before == total
            assert all(one.tenant is not None and one.busy() for one in inside)
        if refused == "address":
            assert all(one.tenant is not None for one in inside if one.address == where)
        if 0 <= leaving < len(inside):
            inside.pop(leaving).leave()


@pytest.mark.claim("SLOW-01")
def test_strangers_push_out_strangers_only() -> None:
    guests = Guests(caps(connections=4, per_address=3))
    assert guests.enter("good", ACME, busy=True) == ""
    for _ in range(100):
        assert guests.enter("bad") == ""
    assert [one.tenant for one in guests.inside] == [ACME, None, None, None]
    assert {reason for _, reason in guests.sent_away} == {"address"}
    # Of another address too, the strangers go first.
    assert guests.enter("good") == ""
    assert guests.sent_away[-1][1] == "connections"
    assert guests.inside[0].tenant == ACME


def test_the_largest_tenant_makes_room_with_what_is_idle() -> None:
    guests = Guests(caps(connections=4))
    for name, busy in ((OTHER, False), (ACME, True), (ACME, False), (ACME, False)):
        assert guests.enter("a", name, busy=busy) == ""
    assert guests.enter("b", OTHER) == ""
    assert [(one.tenant, one.busy()) for one in guests.inside] == [
        (OTHER, False), (ACME, True), (ACME, False), (OTHER, False),
    ]  # fmt: skip


@pytest.mark.claim("SLOW-02")
def test_idle_guests_keep_nobody_out_of_their_address() -> None:
    guests = Guests(caps(connections=99, per_address=4, per_tenant=2))
    for name in (ACME, ACME, OTHER):
        assert guests.enter("proxy", name) == ""
    assert guests.enter("proxy", OTHER, busy=True) == ""
    assert guests.enter("proxy") == "", "who waits goes before a newcomer does"
    assert guests.enter("proxy", TenantName("third"), busy=True) == ""
    # The control: running requests are never cut, and then there is no place.
    guests = Guests(caps(connections=99, per_address=2))
    for _ in range(2):
        assert guests.enter("proxy", ACME, busy=True) == ""
    assert guests.enter("proxy") == "address"


def test_a_connection_may_change_hands() -> None:
    """Two keys on one connection, as a proxy brings them: the last one counts."""
    room = Room(caps())
    visit = room.enter("a")
    assert isinstance(visit, Visit)
    assert visit.introduce(ACME)
    assert visit.introduce(ACME)
    assert visit.introduce(OTHER)
    visit.leave()
    visit.leave()
    assert visit.introduce(ACME)  # gone already: nobody counts it
    assert len(room) == 0
