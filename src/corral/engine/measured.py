"""What the kernel counts of a worker's memory, read from outside.

Trust: operator's side. Input: /proc of a process that a hostile engine runs in; the numbers are the
kernel's. Under gVisor the process is the sentry, which holds the worker's memory and its own.
See proc_pid_status(5).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_FIELDS = ("RssAnon", "RssFile", "RssShmem", "VmHWM")
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Measured:
    """Memory of one process, in bytes.

    Attributes:
        private_bytes: anonymous memory now.
        mapped_bytes: pages of files and of shared memory now; other processes may share them.
        peak_bytes: most of both so far.
    """

    private_bytes: int
    mapped_bytes: int
    peak_bytes: int


def measure_memory(pid: int) -> Measured | None:
    """Return the memory of a process as the host sees it, or None if it cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        table = dict(line.split(":", 1) for line in lines.splitlines() if ":" in line)
        anonymous, file, shared, peak = (int(table[name].split()[0]) * _KIB for name in _FIELDS)
    except (OSError, KeyError, ValueError, IndexError):
        return None
    return Measured(anonymous, file + shared, peak)
