"""Bookkeeping of live jails: who owns each, when it must end, who waits for its end.

Trust: trusted base. Input: trusted; no I/O.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from corral.core.errors import SandboxError
from corral.core.limits import MEDIA_JAILS, TENANT_WORKERS
from corral.launcher.placement import Place


@dataclass(slots=True)
class Jail:
    """One live jail.

    Attributes:
        worker_id: names it in requests; never used twice.
        pid: of its first process, in the launcher's PID namespace; our child until it is reaped.
        host_pid: the same as the host sees it; 0 if unknown.
        owner: identity of the channel that started it; the jail ends with that channel.
        trust: trust level of its model, which chose its runtime.
        deadline: monotonic time at which it is killed; None for never.
        confirmed: it was looked at after it said that it is sealed.
        unsealed: and it was not.
        place: the cores and devices that it has alone.
        waiters: (channel identity, request id) to answer when it has ended.
    """

    worker_id: int
    kind: str
    name: str
    pid: int
    host_pid: int
    owner: int
    tenant: str = ""
    model: str = ""
    digest: str = ""
    trust: str = "untrusted"
    cgroup_path: str = ""
    deadline: float | None = None
    started_s: int = field(default_factory=lambda: int(time.time()))
    stopped_by_us: bool = False
    stopped_by_operator: bool = False
    confirmed: bool = False
    unsealed: bool = False
    timed_out: bool = False
    place: Place = field(default_factory=Place)
    waiters: list[tuple[int, int]] = field(default_factory=list)


class JailTable:
    """Live jails by worker id: all workers and media that may be asked for, gateway, detector."""

    def __init__(self, limit: int = TENANT_WORKERS + MEDIA_JAILS + 2) -> None:
        self._limit = limit
        self._jails: dict[int, Jail] = {}
        self._next = 1

    def reserve(self) -> int:
        """Return a fresh worker id.

        Raises:
            SandboxError: code `too_many_workers`.
        """
        if len(self._jails) >= self._limit:
            raise SandboxError("too_many_workers", "the launcher runs as many jails as it may")
        worker_id, self._next = self._next, self._next + 1
        return worker_id

    def add(self, jail: Jail) -> None:
        """Note a jail that runs."""
        self._jails[jail.worker_id] = jail

    def find(self, worker_id: int) -> Jail | None:
        """Return a live jail."""
        return self._jails.get(worker_id)

    def of_pid(self, pid: int) -> Jail | None:
        """Return the live jail whose first process is `pid`."""
        return next((j for j in self._jails.values() if j.pid == pid), None)

    def after(self, worker_id: int) -> Jail | None:
        """Return the live jail with the smallest id above `worker_id`."""
        return next((self._jails[i] for i in sorted(self._jails) if i > worker_id), None)

    def owned_by(self, owner: int) -> list[Jail]:
        """Return the live jails that a channel started."""
        return [j for j in self._jails.values() if j.owner == owner]

    def overdue(self, now: float) -> Iterator[Jail]:
        """Yield live jails past their deadline that were not killed for it yet."""
        for jail in self._jails.values():
            if jail.deadline is not None and jail.deadline <= now and not jail.timed_out:
                yield jail

    def next_deadline(self) -> float | None:
        """Return the nearest deadline, monotonic."""
        waiting = [j.deadline for j in self._jails.values() if j.deadline and not j.timed_out]
        return min(waiting, default=None)

    def remove(self, jail: Jail) -> None:
        """Forget a jail that has ended."""
        del self._jails[jail.worker_id]

    def __len__(self) -> int:
        """Return the number of live jails."""
        return len(self._jails)
