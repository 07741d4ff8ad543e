"""The isolation level: what tenants share below the system calls, settled before the first jail.

Trust: trusted base. Input: the operator's configuration and the kernel. `standard` takes what the
host gives and reports the rest; `strict` refuses to start where a point is not held, unless the
operator named that point.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from corral.core.config import Config
from corral.core.errors import SandboxError
from corral.jail.hardware_unsafe import core_scheduling_works, opt_out
from corral.launcher.cdi import load_device
from corral.sandbox.cgroup import CgroupHost
from corral.sandbox.hardware import Point, read_points, whole_cores
from corral.sandbox.oci import Edits


@dataclass(frozen=True, slots=True)
class Isolation:
    """What was settled.

    Attributes:
        points: every point as it is here.
        pool: whole cores that strict workers get alone; empty where workers share cores.
        cores_each: how many of them each worker gets.
        cookies: each strict worker gets a core-scheduling cookie.
        required: points that each strict worker of the namespaces tier must find in force itself.
        no_swap: jails may not be swapped out.
        devices: (tenant, CDI name, what its spec adds), as configured.
        sharing: the operator accepts that tenants share a device.
    """

    points: tuple[Point, ...] = ()
    pool: tuple[tuple[int, ...], ...] = ()
    cores_each: int = 1
    cookies: bool = False
    required: tuple[str, ...] = ()
    no_swap: bool = False
    devices: tuple[tuple[str, str, Edits], ...] = ()
    sharing: bool = False

    def threads_of(self, wanted: int) -> int:
        """Return how many compute threads a strict worker may have: one for each of its own."""
        own = self.cores_each * min(map(len, self.pool), default=wanted)
        return min(wanted, own)


def settle_isolation(config: Config, cgroups: CgroupHost, tiers: set[str]) -> Isolation:
    """Opt this process and all it will start out of what can be opted out of; check the level.

    Raises:
        SandboxError: codes `isolation_missing`, `device_unsupported`, and those of `load_device`.
    """
    cores = whole_cores(os.sched_getaffinity(0))
    cookies = core_scheduling_works()
    points = read_points(missing=opt_out(), cookies=cookies, cgroups=cgroups, cores=cores)
    accepted = config.sandbox.allow_degraded
    strict = config.isolation.level == "strict"
    missing = [p for p in points if strict and not p.held and p.name not in accepted]
    if missing:
        raise SandboxError(
            "isolation_missing",
            "this host does not give what the isolation level strict demands: "
            + "; ".join(f"{p.name} ({p.detail})" for p in missing),
            remedy="; ".join(f"{p.remedy}, or --allow-degraded={p.name}" for p in missing),
        )  # fmt: skip
    held = {p.name for p in points if p.held}
    named = [one.partition(":") for one in config.isolation.devices]
    if named and (tiers != {"namespaces"} or not cgroups.version or cgroups.delegated):
        raise SandboxError(
            "device_unsupported", "devices need the namespaces tier and control groups",
            remedy="use --tier namespaces as root, or take isolation.devices out",
        )  # fmt: skip
    return Isolation(
        points=points,
        pool=cores if strict and "cores" in held else (),
        cores_each=config.isolation.cores_per_worker,
        cookies=strict and cookies,
        required=tuple(sorted(held & {"ksm", "speculation"})) if strict else (),
        no_swap=cgroups.bounds_swap(),
        devices=tuple((t, name, load_device(name)) for t, _, name in named),
        sharing="gpu-sharing" in accepted,
    )


def bounded_config(config: Config, isolation: Isolation) -> Config:
    """Return the configuration for the gateway, with no more workers than there are cores."""
    most = len(isolation.pool) // isolation.cores_each or 1
    workers = min(config.engine.max_workers, most) if isolation.pool else config.engine.max_workers
    return replace(config, engine=replace(config.engine, max_workers=workers))
