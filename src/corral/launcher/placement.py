"""Where one worker runs and what it has alone: cores and devices, leased until it has ended.

Trust: trusted base. Input: checked requests, and what `launcher.isolation` settled.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from corral.core.errors import SandboxError
from corral.launcher.cdi import may_be_shared
from corral.launcher.isolation import Isolation
from corral.launcher.lease import Leases
from corral.sandbox.hardware import parse_cpus
from corral.sandbox.oci import Edits


@dataclass(slots=True)
class Place:
    """What one worker has.

    Attributes:
        cpus: its processors as the kernel lists them; empty for all.
        edits: what its devices add to the jail.
        leases: name -> descriptor that holds the lease.
    """

    cpus: str = ""
    edits: Edits = field(default_factory=Edits)
    leases: dict[str, int] = field(default_factory=dict)

    def prove(self, pid: int, proc: Path = Path("/proc")) -> None:
        """Read back that the kernel confines a process to exactly the processors of this place.

        Raises:
            SandboxError: code `isolation_unproven`.
            OSError: the process has gone already.
        """
        status = (proc / str(pid) / "status").read_text()
        listed = status.partition("Cpus_allowed_list:\t")[2].partition("\n")[0]
        if self.cpus and parse_cpus(listed) != parse_cpus(self.cpus):
            raise SandboxError("isolation_unproven", "the worker did not get its own cores")

    def leave(self) -> None:
        """Give everything back, after the last process of the worker has ended."""
        while self.leases:
            os.close(self.leases.popitem()[1])


class Places:
    """Finds places for the workers of one launcher."""

    def __init__(self, isolation: Isolation, leases: Leases) -> None:
        self._isolation = isolation
        self._leases = leases
        self._held: list[tuple[str, Place]] = []

    def fill(self, place: Place, tenant: str, holder: str, *, strict: bool) -> None:
        """Lease what a worker of `tenant` needs.

        Args:
            place: gets it; the caller leaves it if anything fails.
            tenant: whose worker it is.
            holder: the worker's control group.
            strict: it gets cores of its own.

        Raises:
            SandboxError: codes `no_exclusive_cores`, `gpu_in_use`.
        """
        if strict and self._isolation.pool:
            self._take_cores(place, holder)
        self._take_devices(place, tenant, holder)
        self._held = [(t, p) for t, p in self._held if p.leases] + [(tenant, place)]

    def _take_cores(self, place: Place, holder: str) -> None:
        cpus: list[int] = []
        each = self._isolation.cores_each
        for core in self._isolation.pool:
            name = f"core-{core[0]}"
            if len(place.leases) < each and (fd := self._leases.take(name, holder)) >= 0:
                place.leases[name] = fd
                cpus += core
        if len(place.leases) < each:
            raise SandboxError(
                "no_exclusive_cores", f"fewer than {each} cores are free for one more worker",
                remedy="stop a worker (corral ps), or lower isolation.cores_per_worker",
            )  # fmt: skip
        place.cpus = ",".join(map(str, sorted(cpus)))

    def _take_devices(self, place: Place, tenant: str, holder: str) -> None:
        for owner, name, edits in self._isolation.devices:
            if owner != tenant or name in place.leases:
                continue
            own = [p.leases[name] for t, p in self._held if t == tenant and name in p.leases]
            shared = self._isolation.sharing and may_be_shared(name)
            fd = (self._leases.join(own[0], holder) if own
                  else self._leases.take(name, holder, shared=shared))  # fmt: skip
            if fd < 0:
                raise SandboxError(
                    "gpu_in_use", f"another tenant has {name}, whose memory may hold its data",
                    remedy="stop that tenant's worker; devices of some vendors may be shared: "
                    "--allow-degraded=gpu-sharing",
                )  # fmt: skip
            place.leases[name] = fd
            place.edits = place.edits.plus(edits)
