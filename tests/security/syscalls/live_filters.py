"""Read the seccomp filters of a live process from the kernel: what is really in force.

Needs CAP_SYS_ADMIN outside of any filter. Source: ptrace(2), PTRACE_SECCOMP_GET_FILTER (Linux 4.4).
"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

from tests.security.syscalls.bpf import Program, parse

_SEIZE, _INTERRUPT, _DETACH, _GET_FILTER = 0x4206, 0x4207, 17, 0x420C
_WALL = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _ptrace(request: int, pid: int, address: int = 0, data: object = None) -> int:
    result = _libc.ptrace(
        ctypes.c_long(request), ctypes.c_long(pid), ctypes.c_void_p(address), data
    )
    if result < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {pid}")
    return int(result)


def filter_count(pid: int) -> int:
    """Return how many filters the kernel says a task has."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("Seccomp_filters:"):
            return int(line.split()[1])
    return 0


def live_filters(pid: int, *, at_least: int = 0, seconds: float = 20) -> list[Program]:
    """Return the filters of a process, newest first, as soon as it has `at_least` of them."""
    end = time.monotonic() + seconds
    while filter_count(pid) < at_least:
        if time.monotonic() > end:
            raise AssertionError(f"{pid} has {filter_count(pid)} filters, not {at_least}")
        time.sleep(0.001)
    _ptrace(_SEIZE, pid)
    try:
        _ptrace(_INTERRUPT, pid)
        os.waitpid(pid, _WALL)
        found = []
        # The kernel numbers them from the oldest (kernel/seccomp.c, get_nth_filter).
        for index in range(filter_count(pid)):
            length = _ptrace(_GET_FILTER, pid, index)
            buffer = ctypes.create_string_buffer(length * 8)
            # SAFETY: the kernel writes exactly `length` instructions of 8 bytes.
            _ptrace(_GET_FILTER, pid, index, buffer)
            found.append(parse(buffer.raw))
        return found[::-1]
    finally:
        _ptrace(_DETACH, pid)
