"""Whether a worker has sealed itself, by the kernel's word and never by the worker's.

Trust: trusted base. Input: files of /proc about a jail whose code may be hostile by now. It chooses
what it calls itself, and nothing else of what is read here.

In the namespaces tier the jail is one process. Every thread of it must be under three filters
more than the launcher (the runtime's, the jail entry's, the worker's last one), may gain no
privilege, and has no descriptor but the three of the wire; each thread's table is looked at, for a
thread can be made with one of its own. A sealed worker makes and ends no thread, so the list must
be the same afterwards.

In the tiers gvisor and vm the seal stands inside the sentry or the guest, where nobody outside can
look: what is checked is that the sentry's or hypervisor's own process is filtered and may gain no
privilege.

What this does not prove: that the third filter is the right one. Code that takes over during the
load can install another one of its own, and is then under the first two, which hold all the same.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_KILLED: Final = 1 << 8
"""SIGKILL in a set of signals."""
_FILTERS: Final = 3
_WIRE: Final = {"0", "1", "2"}


def find_flaw(pid: int, *, opaque: bool, proc: Path = _PROC) -> str:
    """Return what is wrong with the seal of a jail; empty if nothing is.

    Args:
        pid: the jail's first process, in our PID namespace; our child, so not reused.
        opaque: it has a kernel of its own, a sentry or a virtual machine's.
        proc: another tree for tests.
    """
    tasks = proc / str(pid) / "task"
    try:
        threads = {str(pid)} if opaque else _names(tasks)
        filters = int(parse_status(proc / "self")["Seccomp_filters"]) + _FILTERS
        for thread in sorted(threads):
            state = parse_status(tasks / thread)
            if (state["Seccomp"], state["NoNewPrivs"]) != ("2", "1"):
                return "a thread is not confined"
            if opaque:
                continue
            if int(state["Seccomp_filters"]) != filters:
                return "a thread is not under the last filter"
            if _names(tasks / thread / "fd") != _WIRE:
                return "a thread has a descriptor beyond the wire"
        if not opaque and _names(tasks) != threads:
            return "threads come and go"
    except (OSError, KeyError, ValueError):
        return "it cannot be looked at"
    return ""


def is_ending(pid: int, *, proc: Path = _PROC) -> bool:
    """Return whether a jail is on its way out, so that what it lacks is no flaw of its seal.

    Its threads and descriptors go one after the other, for a few milliseconds on a busy machine.
    This decides what a death is called and nothing else: who has a flaw is killed and never used.
    """
    for _ in range(10):
        try:
            state = parse_status(proc / str(pid))
            pending = int(state["SigPnd"], 16) | int(state["ShdPnd"], 16)
        except (OSError, KeyError, ValueError):
            return True
        if "VmSize" not in state or pending & _KILLED:
            return True
        time.sleep(0.002)
    return False


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def parse_status(task: Path) -> dict[str, str]:
    """Return the fields of a task's `status`; the kernel escapes line ends in its name."""
    text = (task / "status").read_text(encoding="ascii", errors="replace")
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
