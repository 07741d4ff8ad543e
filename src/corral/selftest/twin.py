"""The control's own control group: unlimited for a probe's purposes, with a hard outer bound.

Trust: operator side. Input: the kernel's files under /sys/fs/cgroup. Controls of exhaustion attacks
never run on the host at large.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from corral.sandbox.cgroup import CgroupHost, CgroupLimits, find_cgroups

_OUTER: Final = CgroupLimits(memory_bytes=384 << 20, pids=600, cpu_shares=8192, cpu_quota_us=0)
"""Over what a probe tries to use, far under what would hurt a host. Processor time has no bound:
the one attack on it lasts half a second, and its weight is that of eight ordinary groups, so that
what else runs on the host does not decide what its control shows."""
_LOOSE: Final = CgroupLimits(memory_bytes=1 << 40, pids=100_000, cpu_shares=2048, cpu_quota_us=0)
"""What no jail's group may look like: a process that only sleeps is in it, and is looked at."""


class Twin:
    """A group that controls run in.

    Attributes:
        bounded: whether the kernel enforces the outer bound; if not, no exhaustion is tried.
    """

    def __init__(self, host: CgroupHost, path: str, loose: str) -> None:
        self._host = host
        self._path = path
        self._loose = loose
        self.bounded = bool(host.version)

    def enter(self) -> None:
        """Move the calling process into the group; called in a child before it executes.

        Raises:
            OSError: refused.
        """
        if self.bounded:
            self._host.enter(self._path)

    def enter_loose(self) -> None:
        """Move the calling process into the group beside it that has hardly any limit.

        Raises:
            OSError: refused.
        """
        if self.bounded:
            self._host.enter(self._loose)


@contextmanager
def made_twin() -> Iterator[Twin]:
    """Make the group; kill what is left in it and remove it afterwards."""
    host, path = find_cgroups(), f"/corral-selftest-{os.getpid()}"
    loose = f"{path}-loose"
    if host.version:
        try:
            host.create(path, _OUTER)
            host.create(loose, _LOOSE)
        except OSError:
            host.remove(path)
            host.remove(loose)
            host = CgroupHost(0)
    try:
        yield Twin(host, path, loose)
    finally:
        for one in (path, loose) if host.version else ():
            host.kill_all(one)
            host.remove(one)
