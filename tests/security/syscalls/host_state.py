"""What a jail could change on the host, so that two looks can be compared."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_VOLATILE = ("random/", "-nr", "-state", "ns_last_pid", "pty/nr", "/nf_conntrack", "perf_", "/stat",
             "sched_domain", "cad_pid", "tainted")  # fmt: skip
_NEAR_S = 0.05


@dataclass(frozen=True, eq=False)
class Clock:
    """How far the clock is ahead of the time since boot; two are equal if nobody set it between.

    A clock that is only steered drifts by far less than the second that makes a difference here.
    """

    ahead_s: float

    @classmethod
    def look(cls) -> Self:
        while True:
            before, now, after = time.monotonic(), time.time(), time.monotonic()
            if after - before < _NEAR_S:  # else this process was stopped between the two
                return cls(now - before)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clock) and abs(self.ahead_s - other.ahead_s) < 1

    __hash__ = None  # type: ignore[assignment]


def host_state() -> dict[str, object]:
    """Return names -> values of this host; equal before and after if nothing was changed."""
    state: dict[str, object] = {
        "hostname": os.uname().nodename,
        "domain": Path("/proc/sys/kernel/domainname").read_text(),
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text(),
        "clock": Clock.look(),
        "interfaces": sorted(os.listdir("/sys/class/net")),
        "modules": [line.split()[0] for line in _lines("/proc/modules")],
        "swaps": _lines("/proc/swaps"),
        "filesystems": sorted(_lines("/proc/filesystems")),
        "queues": [_lines(f"/proc/sysvipc/{name}") for name in ("msg", "sem", "shm")],
        "root": sorted(os.listdir("/")),
        "mounts": sorted(line for line in _lines("/proc/self/mounts") if "corral" not in line),
        "routes": _lines("/proc/net/route"),
    }
    for name in ("/etc/passwd", "/etc/shadow", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"):
        state[name] = hashlib.sha256(Path(name).read_bytes()).hexdigest()
    for folder in ("kernel", "vm", "net/ipv4", "net/core", "fs", "user"):
        for path in Path("/proc/sys", folder).rglob("*"):
            if path.is_file() and not any(part in str(path) for part in _VOLATILE):
                state[str(path)] = _settings(path)
    return state


def _settings(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return "unreadable"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if os.path.exists(path) else []


def changes(
    before: dict[str, object], after: dict[str, object]
) -> dict[str, tuple[object, object]]:
    """Return what differs."""
    keys = before.keys() | after.keys()
    return {k: (before.get(k), after.get(k)) for k in keys if before.get(k) != after.get(k)}
