"""Who may stay when connections are scarce: places by address and tenant, and who makes room.

Trust: gateway [net]. Input: hostile clients; an address is what the kernel says, a tenant is what a
live key has proved. Pure bookkeeping, for one event loop.

A connection is a stranger until a request on it has brought a live key. Strangers never keep
anybody out: where a cap is reached the longest staying stranger (of that address, if it is its cap)
goes, so that a crowd of slow clients only pushes itself out, also where it shares an address with
good ones (NAT, a proxy). Then the tenant with the most connections gives its longest idle one. Only
where neither is to be had, the newcomer is turned away. A request of a live key is never cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from corral.core.ids import TenantName
from corral.gateway.newcomers import Newcomers
from corral.tenancy.certificate import ClientCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Most connections at once: in all, of one address (0 for no cap), of one tenant."""

    connections: int
    per_address: int
    per_tenant: int


class Visit:
    """One connection's place, from its acceptance on.

    Attributes:
        end: ends the connection without an answer, for a reason of `telemetry.metrics.REJECTED`.
        busy: says whether a request runs on it.
        tenant: whose live key was seen on it; None for a stranger.
        certificate: what its client showed in the handshake.
    """

    def __init__(self, room: Room, address: str) -> None:
        self.end: Callable[[str], None] = lambda _: None
        self.busy: Callable[[], bool] = lambda: False
        self.tenant: TenantName | None = None
        self.certificate: ClientCertificate | None = None
        self.address = address
        self._room = room

    def introduce(self, tenant: TenantName) -> bool:
        """Note whose key came; False if the tenant has all its connections and all are busy."""
        return self._room.introduce(self, tenant)

    def leave(self) -> None:
        """Give the place back; a second time does nothing."""
        self._room.leave(self)


_Crowd = dict[Visit, None]
"""Visits in the order of their coming: a set that keeps it."""


class Room:
    """Every connection of this server.

    Args:
        caps: how many there may be.
        clock: monotonic, in nanoseconds.
    """

    def __init__(self, caps: Caps, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._caps = caps
        self._clock = clock
        self._newcomers = Newcomers()
        self._everybody: _Crowd = {}
        self._strangers: _Crowd = {}
        self._by_address: dict[str, _Crowd] = {}
        self._by_tenant: dict[TenantName, _Crowd] = {}

    def __len__(self) -> int:
        return len(self._everybody)

    def enter(self, address: str) -> Visit | str:
        """Return a place for a newcomer, or the reason why there is none."""
        if self._newcomers.refuses(address, self._clock(), self._served):
            return "pace"
        there = self._by_address.get(address, {})
        if self._caps.per_address and len(there) >= self._caps.per_address:
            # Behind one address there may be many: who waits there goes before a newcomer does.
            going = next((one for one in there if one.tenant is None), None)
            going = going or self._idle_guest(there)
            if going is None:
                return "address"
            self._send_away(going, "address")
        elif len(self._everybody) >= self._caps.connections:
            going = next(iter(self._strangers), None) or self._idle_guest()
            if going is None:
                return "connections"
            self._send_away(going, "connections")
        visit = Visit(self, address)
        self._everybody[visit] = self._strangers[visit] = None
        self._by_address.setdefault(address, {})[visit] = None
        return visit

    def introduce(self, visit: Visit, tenant: TenantName) -> bool:
        """See `Visit.introduce`."""
        if visit not in self._everybody:
            return True
        self._newcomers.proved(visit.address, tenant, self._clock(), first=visit.tenant is None)
        if visit.tenant == tenant:
            return True
        others = self._by_tenant.get(tenant, {})
        if len(others) >= self._caps.per_tenant:
            going = next((one for one in others if not one.busy()), None)
            if going is None:
                return False
            self._send_away(going, "tenant")
        self._forget_tenant(visit)
        self._strangers.pop(visit, None)
        visit.tenant = tenant
        self._by_tenant.setdefault(tenant, {})[visit] = None
        return True

    def leave(self, visit: Visit) -> None:
        """See `Visit.leave`."""
        if visit not in self._everybody:
            return
        del self._everybody[visit]
        self._strangers.pop(visit, None)
        there = self._by_address[visit.address]
        del there[visit]
        if not there:
            del self._by_address[visit.address]
        self._forget_tenant(visit)

    def _forget_tenant(self, visit: Visit) -> None:
        if visit.tenant is None:
            return
        others = self._by_tenant[visit.tenant]
        del others[visit]
        if not others:
            del self._by_tenant[visit.tenant]

    def _served(self) -> set[str]:
        return {one.address for others in self._by_tenant.values() for one in others if one.busy()}

    def _idle_guest(self, among: _Crowd | None = None) -> Visit | None:
        for others in sorted(self._by_tenant.values(), key=len, reverse=True):
            for one in others:
                if (among is None or one in among) and not one.busy():
                    return one
        return None

    def _send_away(self, visit: Visit, reason: str) -> None:
        self.leave(visit)
        visit.end(reason)
