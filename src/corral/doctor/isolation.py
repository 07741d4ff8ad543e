"""What the isolation level `strict` demands of this host, point by point.

Trust: operator side. Input: the operator's configuration, files of the kernel, and what a child
process, which then ends, can opt out of. The launcher decides by itself (`launcher.isolation`).
"""

from __future__ import annotations

import os
from functools import partial

from corral.core.config import Config
from corral.doctor.fact import Fact
from corral.jail.hardware_unsafe import core_scheduling_works, lock_hardware
from corral.sandbox.cgroup import find_cgroups
from corral.sandbox.feature_unsafe import in_child
from corral.sandbox.hardware import Point, read_points, whole_cores


def strict_points(config: Config) -> dict[str, Fact]:
    """Return the points by name; none at the level `standard`, where they are the host's own."""
    if config.isolation.level != "strict":
        return {}
    refused = [p for p in ("ksm", "speculation") if not in_child(partial(lock_hardware, (p,)))]
    points = read_points(
        missing=tuple(refused),
        cookies=core_scheduling_works(),
        cgroups=find_cgroups(),
        cores=whole_cores(os.sched_getaffinity(0)),
    )
    return {point.name: _fact(point) for point in points}


def _fact(point: Point) -> Fact:
    if point.held:
        return Fact(point.name, "enforced", point.detail, needed=True)
    remedy = f"{point.remedy}, or accept it: --allow-degraded={point.name}"
    return Fact(point.name, "absent", point.detail, remedy, needed=True)
