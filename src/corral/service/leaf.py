"""Make room in a delegated control group: our own process moves into a leaf below it.

Trust: operator side. Input: files of the kernel. In version 2 a group hands controllers down only
while it has no processes of its own (cgroups(7), "no internal processes"), so whoever was started
in a delegated group must leave it before jails can be limited there. Version 1 knows no such rule.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

LEAF: Final = "corral-self"
"""The launcher knows this name too: `sandbox.cgroup.LEAF`; a test compares them."""


def enter_leaf(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> bool:
    """Move this process down if its group is this user's and nobody else is in it.

    Whoever shares a group with others, such as a shell, is left where it is: corral then has no
    control groups, and says so.

    Returns:
        Whether it moved.
    """
    if os.geteuid() == 0 or not (root / "cgroup.controllers").exists():
        return False
    own = next(
        (line[3:] for line in membership.read_text().splitlines() if line.startswith("0::")), ""
    )
    group = root / own.lstrip("/")
    try:
        members = (group / "cgroup.procs").read_text().split()
        if group.name == LEAF or members != [str(os.getpid())]:
            return False
        (group / LEAF).mkdir(exist_ok=True)
        (group / LEAF / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        return False
    return True
