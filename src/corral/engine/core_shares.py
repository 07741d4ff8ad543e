"""How much of contended cores each worker gets: who has requests in line computes after others.

Trust: gateway [net]; pure. Input: what `tenancy.fair_queue` knows of each tenant: whether requests
of it wait, which no worker has a say in, and its service, which rests on what workers say of their
tokens.

The queue decides who is let in, by whole requests; then the kernel shares the cores among the
workers, and by itself it does so equally: a tenant that asks now and then would compute at half
speed beside one that floods. A tenant whose requests wait in line takes all that it can get; one
that has none waiting asks for less than its share, or is about to show that it does not. So the
light ones among the second, which lately were not served much more than the least served of the
first, have all of their weight, and everybody else `LEAST`. Where nobody waits, or nobody is light,
all have all of it: those who wait are equals here, the queue sees to them. What a tenant was
served while nobody waited took nothing from anybody, and does not count.

Weights only order those who compute at the same time; cores that nobody else wants are anybody's.
Two engine threads wait for each other all the time, so that even the twelfth of a core that others
have there costs a light tenant a third of its speed. Beside tenants that compute now and then,
everybody else therefore has hardly anything, for that moment (`LEAST_BRIEFLY`). How much of the
time they have a place is the gateway's own clock's to say: one whose worker understates its tokens
computes on and on, and then `LEAST` bounds what it takes from the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from corral.tenancy.fair_queue import Standing

WHOLE: Final = 100
LEAST: Final = 12
"""Per cent of a worker's weight that is its own beside anybody who has a place most of the time."""
LEAST_BRIEFLY: Final = 2
"""Likewise, beside those alone who have one now and then."""
_BUSY: Final = 0.8
"""Share of the time, lately, from which on a tenant is no longer one of those."""
_SPAN_S: Final = 5.0
"""Service of so long ago counts 1/e."""
_WAITS_S: Final = 3.0
"""So long a tenant counts as one that waits after it was seen to: a line is empty for moments."""
_MUCH_MORE: Final = 1.5


@dataclass(frozen=True, slots=True)
class Live:
    """A worker that lives."""

    worker_id: int
    tenant: str


class CoreShares:
    """The shares of all workers of one gateway, as they were set last."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._lately: dict[str, float] = {}
        self._waited_s: dict[str, float] = {}
        self._ran_s: dict[str, float] = {}
        self._busy: dict[str, float] = {}
        self._set: dict[int, int] = {}
        self._looked_s = 0.0

    def look(
        self, now_s: float, standing: Mapping[str, Standing], workers: tuple[Live, ...]
    ) -> dict[int, int]:
        """Return the workers whose share is to be another one, each with its per cent.

        Args:
            now_s: by a monotonic clock.
            standing: of each tenant.
            workers: those that live; only they are remembered.
        """
        self._follow(now_s, standing)
        tenants = {one.tenant for one in workers}
        waits = {name for name in tenants if now_s - self._waited_s.get(name, -math.inf) < _WAITS_S}
        held_back = min((self._lately.get(name, 0.0) for name in waits), default=-1.0)
        light = {
            name
            for name in tenants - waits
            if self._lately.get(name, 0.0) <= _MUCH_MORE * held_back
        }
        on_and_on = any(self._busy.get(name, 0.0) > _BUSY for name in light)
        least = LEAST if on_and_on else LEAST_BRIEFLY
        wanted = {
            one.worker_id: least if light and one.tenant not in light else WHOLE for one in workers
        }
        changed = {
            worker: share
            for worker, share in wanted.items()
            if share != self._set.get(worker, WHOLE)
        }
        self._set = wanted
        return changed

    def _follow(self, now_s: float, standing: Mapping[str, Standing]) -> None:
        fading = math.exp(-max(0.0, now_s - self._looked_s) / _SPAN_S)
        contested = any(self._looked_s - at_s < _WAITS_S for at_s in self._waited_s.values())
        self._lately = {
            name: self._lately.get(name, 0.0) * fading
            # What begins a contest counts too: the first prompts of one that now waits are in no
            # later look, and without them a light tenant's one request would be the more.
            + (
                max(0.0, one.served - self._seen.get(name, 0.0))
                if contested or one.waiting
                else 0.0
            )
            for name, one in standing.items()
        }
        self._seen = {name: one.served for name, one in standing.items()}
        passed_s = now_s - self._looked_s
        self._busy = {
            name: self._busy.get(name, 0.0) * fading
            + (1 - fading) * _part(one.ran_s - self._ran_s.get(name, one.ran_s), passed_s)
            for name, one in standing.items()
        }
        self._ran_s = {name: one.ran_s for name, one in standing.items()}
        self._waited_s = {
            name: now_s if one.waiting else self._waited_s.get(name, -math.inf)
            for name, one in standing.items()
        }
        self._looked_s = now_s


def _part(some_s: float, whole_s: float) -> float:
    return min(1.0, max(0.0, some_s / whole_s)) if whole_s > 0 else 0.0
