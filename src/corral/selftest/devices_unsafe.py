"""Ask the kernel whether a control group of version 2 has a list of devices: no file shows it.

Trust: operator side. Input: a folder below /sys/fs/cgroup. In version 2 the list is a BPF program
that the runtime attached to the group; bpf(2) BPF_PROG_QUERY counts those.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

_NUMBERS: Final = {"x86_64": 321, "aarch64": 280}
_PROG_QUERY: Final = 16
_CGROUP_DEVICE: Final = 6
_COUNT_WORD: Final = 6
"""`prog_cnt` of the query: the seventh 32-bit word, after two ids, two flags and a pointer."""


def count_device_programs(folder: Path) -> int:
    """Return how many device programs are attached to a group; -1 if the kernel does not say."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        words = (ctypes.c_uint32 * 16)(fd, _CGROUP_DEVICE)
        # SAFETY: the kernel reads and writes 64 bytes of an array that outlives the call.
        result = ctypes.CDLL(None).syscall(
            ctypes.c_long(_NUMBERS.get(os.uname().machine, -1)), ctypes.c_long(_PROG_QUERY),
            ctypes.byref(words), ctypes.c_long(ctypes.sizeof(words)),
        )  # fmt: skip
    finally:
        os.close(fd)
    return int(words[_COUNT_WORD]) if result == 0 else -1
