"""Whether one more worker fits into memory, and which idle ones go for it: planned before a start.

Trust: gateway [net]; pure. Input: estimates of signed receipts (`admission.estimate`), whose
numbers are of untrusted files; a worker that takes more than its estimate meets the limit of its
own control group.

    committed = private memory of every worker + mapped files, once for each artifact

Mapped weights are page cache, one copy for all workers of an artifact; everything else is a
worker's own. Nobody is unloaded in vain: if all idle ones together do not make enough room, none
goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one worker takes.

    Attributes:
        digest: of the artifact that it maps.
        private_bytes: its own memory.
        mapped_bytes: weights and program, shared with every worker of the same artifact.
    """

    digest: str = ""
    private_bytes: int = 0
    mapped_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Occupant:
    """One worker that lives.

    Attributes:
        idle_s: how long nobody has needed it.
        busy: somebody needs it, or it starts or stops: it cannot be unloaded.
        above: its tenant has more than the one who wants room will have.
    """

    footprint: Footprint
    idle_s: float
    busy: bool
    above: bool = False


def committed_bytes(footprints: Iterable[Footprint]) -> int:
    """Return what workers take together."""
    private = 0
    mapped: dict[str, int] = {}
    for one in footprints:
        private += one.private_bytes
        mapped[one.digest] = max(mapped.get(one.digest, 0), one.mapped_bytes)
    return private + sum(mapped.values())


def plan_room(
    wanted: Footprint, occupants: Sequence[Occupant], budget_bytes: int
) -> tuple[int, ...] | None:
    """Return whom to unload, by place in `occupants` and in this order, so that `wanted` fits.

    Those of tenants that have more go first; of these the least valuable: the one whose idle time,
    times the memory that its end sets free, is the highest.

    Returns:
        Empty if it fits as it is; None if it does not fit even without all idle ones.
    """
    staying = dict(enumerate(occupants))
    going: list[int] = []

    def taken(without: int | None = None) -> int:
        others = (one.footprint for at, one in staying.items() if at != without)
        return committed_bytes([wanted, *others])

    while (now := taken()) > budget_bytes:
        idle = [at for at, one in staying.items() if not one.busy]
        if not idle:
            return None
        worth = {at: staying[at].idle_s * (now - taken(at)) for at in idle}
        going.append(max(idle, key=lambda at: (staying[at].above, worth[at], staying[at].idle_s)))
        del staying[going[-1]]
    return tuple(going)
