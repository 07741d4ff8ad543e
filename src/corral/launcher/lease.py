"""What one worker has alone on this whole machine: processor cores and devices.

Trust: trusted base. Input: names of our own. A lease is a file lock, so that launchers of several
commands and installations respect each other and a dead one holds nothing; and the lock file names
the holders' control groups, so that a core or device stays taken until the last process that had it
has ended, even where its launcher was killed first (device memory is dirty until then).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from corral.sandbox.cgroup import CgroupHost

FOLDER: Final = Path("/run/corral/leases")
_HOLDERS_BYTES: Final = 16 * 1024


class Leases:
    """Takes leases for one launcher.

    Args:
        cgroups: tells whether a holder still lives.
        folder: where the lock files are; only root may write it.
    """

    def __init__(self, cgroups: CgroupHost, folder: Path = FOLDER) -> None:
        self._cgroups = cgroups
        self._folder = folder

    def take(self, name: str, holder: str, *, shared: bool = False) -> int:
        """Return the descriptor that holds the lease until it is closed; -1 if it is taken.

        Args:
            name: what is leased.
            holder: path of the control group that the lease is for.
            shared: others may hold it too, if they also ask for that.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / name.replace("/", "%")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return -1
        if not shared:
            holders = os.pread(fd, _HOLDERS_BYTES, 0).decode().split()
            if any(self._cgroups.occupied(one) for one in holders):
                os.close(fd)
                return -1
            os.ftruncate(fd, 0)
        os.write(fd, f"{holder}\n".encode())
        return fd

    @staticmethod
    def join(fd: int, holder: str) -> int:
        """Return a second descriptor of a lease, for another worker of the same tenant."""
        os.write(fd, f"{holder}\n".encode())
        return os.dup(fd)
