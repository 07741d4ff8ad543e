"""Which process id the host sees for a child of the launcher.

Trust: trusted base. Input: the host's /proc, opened before the launcher left its PID namespace.
"""

from __future__ import annotations

from pathlib import Path

from corral.launcher.sealed import parse_status


def host_pid_of(host_proc: int, pid: int) -> int:
    """Return the host's id of our child `pid`, or 0 if it cannot be read.

    Args:
        host_proc: descriptor of the host's /proc.
        pid: process id in our own PID namespace.
    """
    proc = Path(f"/proc/self/fd/{host_proc}")
    try:
        me = (proc / "self").readlink()
        children = (proc / me / "task" / me / "children").read_text().split()
    except OSError:
        return 0
    for child in children:
        try:
            first, *others = parse_status(proc / child).get("NSpid", "0").split()
        except OSError:
            continue
        if str(pid) in others:
            return int(first)
    return 0
