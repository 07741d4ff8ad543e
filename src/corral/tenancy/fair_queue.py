"""Who is next when engines are busy: tenants share engine time by weight, counted in tokens.

Trust: gateway [net]. Input: tenants that authentication has proved, token counts of workers. A
worker that says it made fewer tokens than it did gets its tenant more than a fair share;
`engine.core_shares` bounds that.

Virtual Token Counter, algorithm 2 of Sheng et al., "Fairness in Serving Large Language Models"
(OSDI 2024, https://arxiv.org/abs/2401.00588):

    each tenant has a counter of its service: `PROMPT_COST` for a prompt token, as it is let in,
        `ANSWER_COST` for a token of an answer, as it comes; divided by the tenant's weight
    a place that is free goes to the tenant with the least counter that waits, first come first
        served within it, and is free only while nobody waits who could use it
    a tenant that did not ask before is lifted to the least counter of those who do, or of who
        asked last: time in which it asked for nothing is not saved up. It asks while something of
        it waits that could be let in now: a request for a full worker, or a batch one while others
        go first, is no claim on the time that passes meanwhile

What is not in the paper: a worker has so many slots (a lane), and who waits for a full one lets
others pass; batch requests go after interactive ones, until they have waited `BATCH_WAITS_S`; and
a request of which nothing is heard for `STALL_S` (it hangs, or its model is being loaded), or whose
worker has to wait for a place itself, keeps its slot but not its place, so that it holds up no
other tenant.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

PROMPT_COST: Final = 1
ANSWER_COST: Final = 2
"""The paper's own (section 3.1): making a token costs about twice as much as reading one."""
BATCH_WAITS_S: Final = 60.0
STALL_S: Final = 20.0
_LOOK_S: Final = 0.5
_SMOOTH: Final = 0.2


class Work(Protocol):
    """What an engine has done of a request so far; `engine.worker_link.Stream` is one."""

    @property
    def answer_tokens(self) -> int:
        """Tokens of the answer, as far as can be told before its end."""


@dataclass(slots=True, eq=False)
class _Tenant:
    name: str
    counter: float = 0
    served: float = 0
    weight: int = 1
    waiting: list[_Waiting] = field(default_factory=list)
    running: int = 0
    since_s: float = 0
    ran_s: float = 0
    asks: bool = False

    def ran(self, now_s: float) -> float:
        """Return for how many seconds in all it has had a place."""
        return self.ran_s + (now_s - self.since_s if self.running else 0)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a tenant stands.

    Attributes:
        served: in all, by its weight; unlike its counter never lifted.
        waiting: requests in line.
        ran_s: seconds in all in which it had a place.
    """

    served: float
    waiting: int
    ran_s: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request that wants a place.

    Attributes:
        lane: the worker that it is for.
        lane_places: slots of that worker.
        weight: of the tenant.
        batch: it may wait for interactive ones.
        prompt_tokens: by estimate; `Turn.settle` puts it right.
    """

    tenant: str
    lane: str
    lane_places: int
    weight: int = 1
    batch: bool = False
    prompt_tokens: int = 0


@dataclass(slots=True, eq=False)
class _Waiting:
    entry: Entry
    tenant: _Tenant
    since_s: float
    number: int
    turn: asyncio.Future[Turn]


class Turn:
    """One request's place. Give it back with `leave`; say with `settle` what it really cost."""

    __slots__ = (
        "_began_s", "_charged", "_heard", "_heard_s", "_held_up", "_lane", "_queue", "_tenant",
        "_weight", "_work", "lent",
    )  # fmt: skip

    def __init__(self, queue: FairQueue, waiting: _Waiting, now_s: float) -> None:
        self.lent = False
        self._queue = queue
        self._tenant = waiting.tenant
        self._lane = waiting.entry.lane
        self._weight = waiting.entry.weight
        self._work: Work | None = None
        self._held_up: Callable[[], bool] = lambda: False
        self._charged: float = 0
        self._heard = 0
        self._began_s = self._heard_s = now_s
        self._add(PROMPT_COST * waiting.entry.prompt_tokens)

    @property
    def lane(self) -> str:
        """The worker that it is for."""
        return self._lane

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self._tenant.name

    def follow(self, work: Work) -> None:
        """Count the tokens of this answer from now on."""
        self._work = work

    def lend_while(self, held_up: Callable[[], bool]) -> None:
        """Lend the place to others while this is so and no engine has the request."""
        self._held_up = held_up

    def charge(self, now_s: float) -> None:
        """Count what has come since the last call."""
        heard = self._heard if self._work is None else max(self._heard, self._work.answer_tokens)
        if heard > self._heard:
            self._add(ANSWER_COST * (heard - self._heard))
            self._heard, self._heard_s = heard, now_s
        unheard = now_s - self._heard_s >= STALL_S
        self.lent = unheard or (self._work is None and self._held_up())

    def leave(self) -> None:
        """Give the place back; a second time does nothing."""
        self._queue.left(self, self._began_s)

    def settle(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Put the counter right: this is what it was, whatever was counted before."""
        self._add(PROMPT_COST * prompt_tokens + ANSWER_COST * answer_tokens - self._charged)

    def _add(self, cost: float) -> None:
        self._charged += cost
        self._tenant.counter += cost / self._weight
        self._tenant.served += cost / self._weight


class FairQueue:
    """The one queue of all tenants before the engines. For one event loop.

    Args:
        capacity: requests that may be with engines at the same time.
        clock_s: monotonic seconds.
    """

    def __init__(self, capacity: int, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._clock_s = clock_s
        self._tenants: dict[str, _Tenant] = {}
        self._turns: set[Turn] = set()
        self._lanes: dict[str, int] = {}
        self._left_last: _Tenant | None = None
        self._number = 0
        self._service_s = 1.0
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, entry: Entry) -> Turn:
        """Wait for a place. Cancelling the caller gives back its place, or the one it waits for."""
        waiting = self.join(entry)
        try:
            return await waiting.turn
        except asyncio.CancelledError:
            if waiting.turn.cancelled():
                self.withdraw(waiting)
            else:
                waiting.turn.result().leave()
            raise

    def join(self, entry: Entry) -> _Waiting:
        """Begin to wait."""
        tenant = self._tenants.get(entry.tenant)
        if tenant is None:
            tenant = self._tenants[entry.tenant] = _Tenant(entry.tenant)
        tenant.weight = entry.weight
        self._number += 1
        turn: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(entry, tenant, self._clock_s(), self._number, turn)
        tenant.waiting.append(waiting)
        self._dispatch()
        return waiting

    def withdraw(self, waiting: _Waiting) -> None:
        """End a wait."""
        self._unqueue(waiting)
        self._ask(self._clock_s())

    def left(self, turn: Turn, began_s: float) -> None:
        """Take a place back."""
        if turn not in self._turns:
            return
        now_s = self._clock_s()
        turn.charge(now_s)
        self._turns.discard(turn)
        tenant = self._tenants[turn.tenant]
        tenant.running -= 1
        if not tenant.running:
            tenant.ran_s += now_s - tenant.since_s
        self._lanes[turn.lane] -= 1
        if not self._lanes[turn.lane]:
            del self._lanes[turn.lane]
        self._service_s += _SMOOTH * (now_s - began_s - self._service_s)
        self._dispatch()

    def position(self, tenant: str) -> int:
        """Return how many requests would go before one more of this tenant, by what is known."""
        mine = self._tenants.get(tenant)
        own = mine.counter if mine else 0
        return sum(
            len(one.waiting) for one in self._tenants.values() if one is mine or one.counter <= own
        )

    def wait_s(self, position: int) -> float:
        """Return about how long a position takes: places become free as they did lately."""
        if len(self._turns) < self._capacity and not position:
            return 0
        return self._service_s * (position + 1) / self._capacity

    def standing(self) -> dict[str, Standing]:
        """Return how each tenant stands that ever asked."""
        self._charge()
        now_s = self._clock_s()
        return {
            name: Standing(one.served, len(one.waiting), one.ran(now_s))
            for name, one in self._tenants.items()
        }

    def document(self) -> dict[str, object]:
        """Return who runs and waits, for the operator."""
        self._charge()
        tenants = []
        for one in sorted(self._tenants.values(), key=lambda one: one.counter):
            if one.running or one.waiting:
                position = self.position(one.name) - len(one.waiting) if one.waiting else 0
                tenants.append({
                    "tenant": one.name, "weight": one.weight, "running": one.running,
                    "waiting": len(one.waiting), "service": round(one.counter),
                    "position": position, "estimated_wait_s": round(self.wait_s(position), 1),
                })  # fmt: skip
        return {"capacity": self._capacity, "running": len(self._turns), "tenants": tenants}

    def _ask(self, now_s: float) -> list[tuple[bool, _Waiting]]:
        """Settle who asks; return what could be let in, each with whether it goes after others."""
        ready = [
            (waiting.entry.batch and now_s - waiting.since_s < BATCH_WAITS_S, waiting)
            for tenant in self._tenants.values()
            for waiting in tenant.waiting
            if not waiting.turn.done()
            and self._lanes.get(waiting.entry.lane, 0) < waiting.entry.lane_places
        ]
        least = min((later for later, _ in ready), default=False)
        asking = {waiting.tenant.name for later, waiting in ready if later == least}
        stay = [one.counter for one in self._tenants.values() if one.asks and one.name in asking]
        for tenant in self._tenants.values():
            asks = tenant.name in asking
            if asks and not tenant.asks:
                if stay:
                    tenant.counter = max(tenant.counter, min(stay))
                elif self._left_last is not None:
                    tenant.counter = max(tenant.counter, self._left_last.counter)
            elif tenant.asks and not asks:
                self._left_last = tenant
            tenant.asks = asks
        return ready

    def _unqueue(self, waiting: _Waiting) -> None:
        waiting.tenant.waiting.remove(waiting)

    def _dispatch(self) -> None:
        now_s = self._charge()
        while (chosen := self._next(now_s)) is not None:
            self._unqueue(chosen)
            turn = Turn(self, chosen, now_s)
            self._turns.add(turn)
            if not chosen.tenant.running:
                chosen.tenant.since_s = now_s
            chosen.tenant.running += 1
            self._lanes[turn.lane] = self._lanes.get(turn.lane, 0) + 1
            chosen.turn.set_result(turn)
        if self._timer is None and any(one.waiting for one in self._tenants.values()):
            # A place is lent, and a batch request has waited long enough, without an event.
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _charge(self) -> float:
        now_s = self._clock_s()
        for turn in self._turns:
            turn.charge(now_s)
        return now_s

    def _look(self) -> None:
        self._timer = None
        self._dispatch()

    def _next(self, now_s: float) -> _Waiting | None:
        ready = self._ask(now_s)
        if sum(not turn.lent for turn in self._turns) >= self._capacity:
            return None
        best: tuple[bool, float, int] | None = None
        found = None
        for later, waiting in ready:
            rank = (later, waiting.tenant.counter, waiting.number)
            if best is None or rank < best:
                best, found = rank, waiting
        return found
