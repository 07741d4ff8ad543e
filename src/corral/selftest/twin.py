"""The control's own control group: unlimited for a probe's purposes, with a hard outer bound.

Trust: operator side. Input: the kernel's files under /sys/fs/cgroup. Controls of exhaustion attacks
never run on the host at large.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from corral.sandbox.cgroup import CPU_PERIOD_US, CgroupHost, CgroupLimits, find_cgroups

_OUTER: Final = CgroupLimits(
    memory_bytes=768 << 20, pids=600, cpu_shares=1024, cpu_quota_us=2 * CPU_PERIOD_US
)
"""Over what a probe tries to use, far under what would hurt a host."""


class Twin:
    """A group that controls run in.

    Attributes:
        bounded: whether the kernel enforces the outer bound; if not, no exhaustion is tried.
    """

    def __init__(self, host: CgroupHost, path: str) -> None:
        self._host = host
        self._path = path
        self.bounded = bool(host.version)

    def enter(self) -> None:
        """Move the calling process into the group; called in a child before it executes.

        Raises:
            OSError: refused.
        """
        if self.bounded:
            self._host.enter(self._path)


@contextmanager
def made_twin() -> Iterator[Twin]:
    """Make the group; kill what is left in it and remove it afterwards."""
    host, path = find_cgroups(), f"/corral-selftest-{os.getpid()}"
    if host.version:
        try:
            host.create(path, _OUTER)
        except OSError:
            host.remove(path)
            host = CgroupHost(0)
    try:
        yield Twin(host, path)
    finally:
        if host.version:
            host.kill_all(path)
            host.remove(path)
