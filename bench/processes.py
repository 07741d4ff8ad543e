"""What the kernel says about a process: processor time and private memory."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return user and system time that a process has used, with its waited-for children."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS_PER_SECOND


@dataclass(frozen=True, slots=True)
class PrivateMemory:
    """Memory of one process in MiB.

    Attributes:
        anonymous: its share of anonymous pages (Pss_Anon): what no file backs.
        private_dirty: pages of its own that were written.
        resident_anonymous: RssAnon.
        proportional: Pss, with its share of mapped files.
    """

    anonymous: float
    private_dirty: float
    resident_anonymous: float
    proportional: float


def private_memory(pid: int) -> PrivateMemory:
    """Return the memory of a live process."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return PrivateMemory(
        anonymous=_mib("Pss_Anon", rollup),
        private_dirty=_mib("Private_Dirty", rollup),
        resident_anonymous=_mib("RssAnon", status),
        proportional=_mib("Pss", rollup),
    )


def children(pid: int) -> list[int]:
    """Return the live children of a process; none where it has gone meanwhile."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in list(Path(f"/proc/{pid}/task").iterdir()):
            with suppress(FileNotFoundError, ProcessLookupError):
                listed = (task / "children").read_text(encoding="utf-8")
                found += [int(one) for one in listed.split()]
    return found


def descendants(pid: int) -> list[int]:
    """Return children, their children and so on."""
    found: list[int] = []
    pending = children(pid)
    while pending:
        one = pending.pop()
        found.append(one)
        pending += children(one)
    return found


def process_name(pid: int) -> str:
    """Return the short name of a process; empty if it has gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _mib(name: str, text: str) -> float:
    found = re.search(rf"^{name}:\s*(\d+) kB", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"the kernel does not say {name}")
    return int(found[1]) / 1024
