"""How fast one address may bring connections, while somebody else is being served.

Trust: gateway [net]. Input: addresses as the kernel says them, tenants that live keys have proved.
Pure bookkeeping, for one event loop.

A TLS handshake costs this side about a millisecond and its maker little, and caps on connections
bound only how many there are at a time. So an address has a bucket of newcomers (GCRA, see
`tenancy.gcra`). A connection that brings a live key gives its place in it back, as long as its
tenant's own bucket has one: clients with keys are slowed down only where they come by the hundred
and never stay. Whoever shares an address with a crowd is slowed down with it, but only while
somebody of another address is served, at whose cost the crowd would come.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

from corral.core.ids import TenantName

PER_SECOND: Final = 10
BURST: Final = 64
TENANT_PER_SECOND: Final = 20
TENANT_BURST: Final = 128
_SECOND_NS: Final = 1_000_000_000
_KEPT_MAX: Final = 4096
_LATELY_NS: Final = 10 * _SECOND_NS


class _Buckets:
    """Many buckets of one rate, bounded in number."""

    def __init__(self, per_second: int, burst: int) -> None:
        self._interval_ns = _SECOND_NS // per_second
        self._tolerance_ns = (burst - 1) * self._interval_ns
        self._due_ns: dict[str, int] = {}
        """When the next one is due if they come evenly."""

    def is_empty(self, name: str, now_ns: int) -> bool:
        return self._due_ns.get(name, 0) - now_ns > self._tolerance_ns

    def take(self, name: str, now_ns: int) -> None:
        """Take one; a bucket that is empty stays so, and keeps no debt."""
        due_ns = max(self._due_ns.get(name, 0), now_ns)
        if len(self._due_ns) >= _KEPT_MAX and name not in self._due_ns:
            self._forget(now_ns)
        self._due_ns[name] = min(due_ns, now_ns + self._tolerance_ns) + self._interval_ns

    def give_back(self, name: str) -> None:
        if name in self._due_ns:
            self._due_ns[name] -= self._interval_ns

    def _forget(self, now_ns: int) -> None:
        """Forget buckets that are full, else the oldest one."""
        full = [name for name, due_ns in self._due_ns.items() if due_ns <= now_ns]
        for name in full or [next(iter(self._due_ns))]:
            del self._due_ns[name]


class Newcomers:
    """The buckets of all addresses and tenants."""

    def __init__(self) -> None:
        self._addresses = _Buckets(PER_SECOND, BURST)
        self._tenants = _Buckets(TENANT_PER_SECOND, TENANT_BURST)
        self._proved: dict[str, int] = {}
        """The two places from which a live key came last, and when."""

    def refuses(self, address: str, now_ns: int, served: Callable[[], set[str]]) -> bool:
        """Count a newcomer; return whether it is one too many.

        Args:
            address: whence it comes.
            now_ns: monotonic clock.
            served: returns the addresses with a running request; asked only if it matters.
        """
        place = neighbourhood(address)
        if self._addresses.is_empty(place, now_ns) and self._others(place, now_ns, served):
            return True
        self._addresses.take(place, now_ns)
        return False

    def proved(self, address: str, tenant: TenantName, now_ns: int, *, first: bool) -> None:
        """Note that a live key came.

        Args:
            address: whence.
            tenant: whose.
            now_ns: monotonic clock.
            first: it is the first one on its connection.
        """
        place = neighbourhood(address)
        self._proved.pop(place, None)
        self._proved[place] = now_ns
        if len(self._proved) > 2:
            del self._proved[next(iter(self._proved))]
        if not first:
            return
        if not self._tenants.is_empty(tenant, now_ns):
            self._addresses.give_back(place)
        self._tenants.take(tenant, now_ns)

    def _others(self, place: str, now_ns: int, served: Callable[[], set[str]]) -> bool:
        return any(
            one != place and now_ns - then_ns < _LATELY_NS for one, then_ns in self._proved.items()
        ) or any(neighbourhood(one) != place for one in served())


def neighbourhood(address: str) -> str:
    """Return what counts as one address: of IPv6 a /64, which a single host has for itself."""
    if ":" not in address:
        return address
    return ipaddress.IPv6Address(address.partition("%")[0]).packed[:8].hex()
