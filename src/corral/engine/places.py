"""Who gets a worker's place when there are fewer than tenants ask for: shared by weight, in a line.

Trust: gateway [net]. Input: requests of proved tenants; footprints as in `engine.capacity`.

A tenant's share is the larger of what it has of the places and of what it has of the memory,
divided by its weight: dominant resource fairness (Ghodsi et al., NSDI 2011).

    a start that finds no place waits in a line, first the tenant with the least share, then first
        come first served, for `wait_s` at most, and only while somebody waits for that worker
    an idle worker makes room: any of the same tenant's, of a tenant with a greater share, or one
        that has been idle for `WARM_S`
    where none is idle, a worker of the tenant with the greatest share yields: requests that run on
        it go on to their end, no other is let in, then it goes. It does so at once where the share
        that is left stays the greater one, else after it has run for `TURN_S`
    a quarter of the places, rounded down, is only for tenants that have no worker; so is a quarter
        of the memory, once a second tenant has asked

So a tenant without a worker gets one, whatever the others do, and no place is idle for long while
somebody could use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol

from corral.core.config import Engine
from corral.engine.capacity import Footprint, Occupant, plan_room
from corral.engine.unavailable import Unavailable
from corral.telemetry.metrics import Metrics

WAIT_S: Final = 60.0
WARM_S: Final = 60.0
TURN_S: Final = 30.0
_LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Room:
    """What one tenant's workers may take together; 0 is no limit.

    Attributes:
        workers: number of them.
        memory_bytes: their limits, added up.
        weight: of the tenant, beside others.
    """

    workers: int = 0
    memory_bytes: int = 0
    weight: int = 1


ROOMY: Final = Room()


class Contender(Protocol):
    """Who has a worker or wants one; `engine.supervisor` is one, and says what these are."""

    live: bool
    users: int
    running: int
    waits: bool
    yielding: bool
    ready_since_s: float
    idle_since_s: float
    footprint: Footprint

    @property
    def tenant(self) -> str:
        """Whose worker it is."""

    @property
    def memory_bytes(self) -> int:
        """Limit of its memory."""

    @property
    def ready(self) -> bool:
        """A worker runs and takes requests."""

    @property
    def stopping(self) -> bool:
        """The worker is on its way out."""

    @property
    def unloadable(self) -> bool:
        """A worker runs and nobody needs it."""

    def give_way(self) -> None:
        """Let the requests that run end, and no further one in."""

    async def unload(self) -> None:
        """Stop the worker."""


class Places:
    """Every place for a worker. For one event loop.

    Args:
        config: how many there are, and how much memory.
        everybody: tells all supervisors, those with a worker and those without.
        metrics: counts who is unloaded.
        wait_s: how long a start waits for its place; 0 refuses at once.

    Attributes:
        turn_s: how long a worker runs before it yields to a tenant with nearly as much.
    """

    def __init__(
        self,
        config: Engine,
        everybody: Callable[[], Collection[Contender]],
        metrics: Metrics,
        *,
        wait_s: float = WAIT_S,
    ) -> None:
        self._places = config.max_workers
        self._budget = max(0, config.memory_total_bytes - config.memory_reserve_bytes)
        self._counts_memory = config.memory_total_bytes > 0  # else each worker's own limit holds it
        self._everybody = everybody
        self._metrics = metrics
        self._wait_s = wait_s
        self.turn_s = TURN_S
        self._rooms: dict[str, Room] = {}
        self._line: list[Contender] = []
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def allow(self, tenant: str, room: Room) -> None:
        """Go by this for a tenant from now on."""
        self._rooms[tenant] = room

    def freed(self) -> None:
        """Have those who wait look again: something ended."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Wait until something ended."""
        await self._changed.wait()

    async def take(self, wanting: Contender) -> Unavailable | None:
        """Take a place for `wanting`, in its turn.

        Returns:
            Why there is none; None if it was taken.
        """
        until_s = self._loop.time() + self._wait_s
        self._line.append(wanting)
        try:
            while True:
                changed, refusal = self._changed, None
                async with self._lock:
                    if self._first() is wanting:
                        refusal = await self._try(wanting)
                        if refusal is None or not self._worth_waiting(wanting, refusal):
                            return refusal
                        self._ask_to_yield(wanting)
                left_s = until_s - self._loop.time()
                if left_s <= 0 or not wanting.users:
                    return refusal or _NO_PLACE
                wanting.waits = True
                try:
                    async with asyncio.timeout(min(left_s, _LOOK_S)):
                        await changed.wait()
                except TimeoutError:
                    continue
        finally:
            wanting.waits = False
            self._line.remove(wanting)
            self.freed()

    def share(
        self, tenant: str, *, plus: Contender | None = None, minus: Contender | None = None
    ) -> float:
        """Return what a tenant has by its weight: with one worker more, or with one less."""
        held = [one for one in self._of(tenant) if one is not minus]
        if plus is not None:
            held.append(plus)
        share = len(held) / self._places
        if self._budget:
            memory_bytes = sum(one.footprint.private_bytes for one in held)
            share = max(share, memory_bytes / self._budget)
        return share / self._rooms[tenant].weight

    def _first(self) -> Contender:
        return min(self._line, key=lambda one: self.share(one.tenant))

    def _worth_waiting(self, wanting: Contender, refusal: Unavailable) -> bool:
        if refusal.code == "worker_quota_reached":
            return any(one.stopping for one in self._of(wanting.tenant))
        return any(one.live for one in self._everybody())  # else it fits never

    async def _try(self, wanting: Contender) -> Unavailable | None:
        while self._over_room(wanting):
            own = [one for one in self._of(wanting.tenant) if one.unloadable]
            if not own:
                return Unavailable(
                    "worker_quota_reached", "your other models take all that you may have", 2
                )
            await min(own, key=lambda one: one.idle_since_s).unload()
        spared = self._places // 4 if self._of(wanting.tenant) else 0
        while sum(one.live for one in self._everybody()) >= self._places - spared:
            idle = [one for one in self._everybody() if self._may_go(one, wanting)]
            if not idle:
                return _NO_PLACE
            self._metrics.worker_unloads.add("room")
            await min(
                idle, key=lambda one: (not self._richer(one, wanting), one.idle_since_s)
            ).unload()
        if not await self._free_memory(wanting):
            return _NO_MEMORY
        wanting.live = True
        return None

    async def _free_memory(self, wanting: Contender) -> bool:
        """Unload idle workers until `wanting` fits; False, and none is unloaded, if it cannot."""
        if not self._counts_memory:
            return True
        budget = self._budget
        if len(self._rooms) > 1 and self._of(wanting.tenant):
            budget -= budget // 4
        while True:
            live = [one for one in self._everybody() if one.live and one is not wanting]
            now = self._loop.time()
            going = plan_room(
                wanting.footprint,
                [
                    Occupant(
                        o.footprint, now - o.idle_since_s, not self._may_go(o, wanting),
                        above=self._richer(o, wanting),
                    )
                    for o in live
                ],
                budget,
            )  # fmt: skip
            if not going:
                return going is not None
            self._metrics.worker_unloads.add("memory")
            await live[going[0]].unload()  # and plan anew: others may have come and gone meanwhile

    def _above(self, one: Contender, wanting: Contender) -> bool:
        return self.share(one.tenant) > self.share(wanting.tenant)

    def _richer(self, one: Contender, wanting: Contender) -> bool:
        """Its tenant has more than the one who wants a place will have."""
        return self.share(one.tenant) > self.share(wanting.tenant, plus=wanting)

    def _may_go(self, one: Contender, wanting: Contender) -> bool:
        return one.unloadable and (
            one.tenant == wanting.tenant
            or self._above(one, wanting)
            or self._loop.time() - one.idle_since_s >= WARM_S
        )

    def _ask_to_yield(self, wanting: Contender) -> None:
        """Have one worker of the tenant with the greatest share end its work, one at a time."""
        if any(one.stopping or one.yielding for one in self._everybody()):
            return
        owing = [one for one in self._everybody() if one.ready and self._owes(one, wanting)]
        if owing:
            most = max(self.share(one.tenant) for one in owing)
            there = [one for one in owing if self.share(one.tenant) == most]
            min(there, key=lambda one: (one.running, one.ready_since_s)).give_way()

    def _owes(self, one: Contender, wanting: Contender) -> bool:
        if one.tenant == wanting.tenant or not self._above(one, wanting):
            return False
        left = self.share(one.tenant, minus=one)
        if left >= self.share(wanting.tenant, plus=wanting):
            return True
        turn_s = self.turn_s * self._rooms[one.tenant].weight
        return self._loop.time() - one.ready_since_s >= turn_s

    def _of(self, tenant: str) -> list[Contender]:
        return [one for one in self._everybody() if one.tenant == tenant and one.live]

    def _over_room(self, wanting: Contender) -> bool:
        room, live = self._rooms[wanting.tenant], self._of(wanting.tenant)
        if room.workers and len(live) >= room.workers:
            return True
        memory_bytes = sum(one.memory_bytes for one in live) + wanting.memory_bytes
        return 0 < room.memory_bytes < memory_bytes


_NO_PLACE: Final = Unavailable(
    "no_worker_free", "every engine worker is busy with another model or tenant", 2
)
_NO_MEMORY: Final = Unavailable(
    "insufficient_memory", "this machine has no memory for one more worker of this model now", 5
)
