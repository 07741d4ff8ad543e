"""Look at a jail's process from the host, where a wall cannot be seen from inside.

Trust: operator side. Input: files of the kernel under /proc and /sys/fs/cgroup.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from corral.selftest.devices_unsafe import count_device_programs
from corral.selftest.weights import UNIFIED

_ROOT: Final = Path("/sys/fs/cgroup")
_LIMITED_BYTES: Final = 64 << 20
_TASKS: Final = 4096
_UNLIMITED: Final = "ok"


def look_at(pid: int) -> dict[str, str]:
    """Return the outcomes of the probes that look from outside; `no-process` if it has gone."""
    looks = {
        "host.memory": _memory, "host.tasks": _tasks, "host.processor": _processor,
        "host.devices": _devices, "host.user": _user,
    }  # fmt: skip
    found = {}
    for name, look in looks.items():
        try:
            found[name] = look(pid)
        except (OSError, ValueError, IndexError):
            found[name] = "not-shown"
    return found


def _group(pid: int, controller: str) -> tuple[int, Path]:
    """Return (version, folder) of a process's group for a controller."""
    unified = ""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return 1, _ROOT / controller / path.lstrip("/")
        if not names:
            unified = path
    return 2, _ROOT / unified.lstrip("/")


def _number(file: Path) -> int:
    text = file.read_text().split()[0]
    return 1 << 62 if text == "max" else int(text)


def _memory(pid: int) -> str:
    version, folder = _group(pid, "memory")
    name = "memory.limit_in_bytes" if version == 1 else "memory.max"
    if version == 2 and not (folder / name).exists():
        return _UNLIMITED  # the root group has no such file
    return "limited" if _number(folder / name) <= _LIMITED_BYTES else _UNLIMITED


def _tasks(pid: int) -> str:
    _, folder = _group(pid, "pids")
    if not (folder / "pids.max").exists():
        return _UNLIMITED
    return "limited" if _number(folder / "pids.max") <= _TASKS else _UNLIMITED


def _processor(pid: int) -> str:
    version, folder = _group(pid, "cpu")
    if version == 1:
        weight = _number(folder / "cpu.shares")
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    else:
        weight = _number(folder / "cpu.weight")
        first, second = (folder / "cpu.max").read_text().split()
        quota, period = (-1 if first == "max" else int(first)), int(second)
    unit = "weight" if version == 1 else UNIFIED
    return f"{unit}-{weight}" + (f"-cores-{quota // period}" if quota > 0 else "")


def _devices(pid: int) -> str:
    version, folder = _group(pid, "devices")
    if version == 2:
        programs = count_device_programs(folder)
        if programs < 0:
            return "hidden"
        return "listed" if programs else _UNLIMITED
    every = (folder / "devices.list").read_text().startswith("a ")
    return _UNLIMITED if every else "listed"


def _user(pid: int) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("Uid:"):
            uid = int(line.split()[1])
            return _UNLIMITED if uid == 0 else "caller" if uid == os.getuid() else "own-id"
    return "not-shown"
