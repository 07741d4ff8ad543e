"""How much of contended cores each worker gets: who was served less lately computes first.

Trust: gateway [net]; pure. Input: service by tenant as `tenancy.fair_queue` counts it, which rests
on what workers say of their tokens.

The queue decides who is let in, by whole requests; then the kernel shares the cores among the
workers, and by itself it does so equally: a tenant that asks now and then would compute at half
speed beside one that floods. So the worker of a tenant that was served more lately gets less
weight, by the fourth power of the ratio: tenants within a tenth of each other hardly differ, one
that was served a third less goes first. Weights only order those who compute at the same time;
cores that nobody else wants are anybody's. Over time this draws service towards equal, too.

`LEAST` bounds what a worker that understates its tokens can take from the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

WHOLE: Final = 100
LEAST: Final = 12
"""Per cent of a worker's weight that is its own whatever its tenant was served."""
_STEPS: Final = (WHOLE, 50, 25, LEAST)
_SPAN_S: Final = 5.0
"""Service of so long ago counts 1/e."""
_TRIFLE: Final = 100.0
"""Of service, about a short request: below it nobody counts as served."""
_POWER: Final = 4


@dataclass(frozen=True, slots=True)
class Live:
    """A worker that lives. `busy`: a request runs on it."""

    worker_id: int
    tenant: str
    busy: bool


class CoreShares:
    """The shares of all workers of one gateway, as they were set last."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._lately: dict[str, float] = {}
        self._set: dict[int, int] = {}
        self._looked_s = 0.0

    def look(
        self, now_s: float, served: Mapping[str, float], workers: tuple[Live, ...]
    ) -> dict[int, int]:
        """Return the workers whose share is to be another one, each with its per cent.

        Args:
            now_s: by a monotonic clock.
            served: by tenant, in all, divided by the tenant's weight.
            workers: those that live; only they are remembered.
        """
        self._follow(now_s, served)
        tenants = {one.tenant for one in workers}
        lately = {name: _TRIFLE + self._lately.get(name, 0.0) for name in tenants}
        least = min(lately.values(), default=_TRIFLE)
        busy = {name: sum(one.busy for one in workers if one.tenant == name) for name in tenants}
        wanted = {
            one.worker_id: _step(
                WHOLE * (least / lately[one.tenant]) ** _POWER / max(1, busy[one.tenant])
            )
            if len(tenants) > 1
            else WHOLE
            for one in workers
        }
        changed = {
            worker: share
            for worker, share in wanted.items()
            if share != self._set.get(worker, WHOLE)
        }
        self._set = wanted
        return changed

    def _follow(self, now_s: float, served: Mapping[str, float]) -> None:
        fading = math.exp(-max(0.0, now_s - self._looked_s) / _SPAN_S)
        self._lately = {
            name: self._lately.get(name, 0.0) * fading
            + max(0.0, total - self._seen.get(name, total))
            for name, total in served.items()
        }
        self._seen = dict(served)
        self._looked_s = now_s


def _step(share: float) -> int:
    """Return the step that is nearest by ratio: few steps, so that few changes are asked for."""
    return min(_STEPS, key=lambda one: abs(math.log(max(share, 1e-9) / one)))
