"""How much memory this process and its children may take: what is free, or their groups' limit.

Trust: operator side. Input: files of the kernel: proc(5), cgroups(7), and its Documentation under
admin-guide/cgroup-v2.rst (`memory.max`) and admin-guide/cgroup-v1/memory.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_GROUPS: Final = Path("/sys/fs/cgroup")


def memory_limit_bytes(proc: Path = _PROC, groups: Path = _GROUPS) -> int:
    """Return what can be had now without swapping, or the least limit of our control groups."""
    return min([_available(proc), *_limits(proc, groups)])


def _available(proc: Path) -> int:
    try:
        text = (proc / "meminfo").read_text(encoding="ascii")
        return int(text.partition("MemAvailable:")[2].split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _limits(proc: Path, groups: Path) -> Iterator[int]:
    try:
        lines = (proc / "self/cgroup").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            top, name = groups, "memory.max"
        elif controllers == "memory":
            top, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        below = top / path.lstrip("/")
        for folder in (below, *below.parents):
            if folder.is_relative_to(top):
                yield from _limit(folder / name)


def _limit(file: Path) -> Iterator[int]:
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return  # the group's folder is not mounted here
    if text.isdecimal():  # else "max"
        yield int(text)
