"""Which process id the host sees for a child of the launcher.

Trust: trusted base. Input: the host's /proc, opened before the launcher left its PID namespace.
"""

from __future__ import annotations

import os


def host_pid_of(host_proc: int, pid: int) -> int:
    """Return the host's id of our child `pid`, or 0 if it cannot be read.

    Args:
        host_proc: descriptor of the host's /proc.
        pid: process id in our own PID namespace.
    """
    try:
        me = os.readlink("self", dir_fd=host_proc)
        children = _read(f"{me}/task/{me}/children", host_proc).split()
    except OSError:
        return 0
    for child in children:
        try:
            status = _read(f"{child}/status", host_proc)
        except OSError:
            continue
        line = next((li for li in status.splitlines() if li.startswith("NSpid:")), "NSpid:")
        ids = line.split()[1:]
        if len(ids) > 1 and str(pid) in ids[1:]:
            return int(ids[0])
    return 0


def _read(path: str, host_proc: int) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=host_proc)
    try:
        return os.read(fd, 65536).decode("ascii", "replace")
    finally:
        os.close(fd)
