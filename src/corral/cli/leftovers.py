"""What a server left behind on the host: processes, mounts, cgroups and namespaces.

Trust: operator side. Input: /proc of this host, trusted.

A `Footprint` is taken while the server lives; `leftovers` looks for each thing of it afterwards.
It reads only what the kernel says, so it also finds what the launcher forgot.

The kernel gives the number of a namespace again as soon as it is free, so a footprint holds each
one open: while it does, no stranger's namespace can have that number.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.cli.readback import cgroup_folders

_PROC: Final = Path("/proc")
_KINDS: Final = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_CONTROLLERS: Final = ("memory", "pids", "cpu", "devices", "freezer", "name=systemd")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What belongs to a server at one moment.

    Attributes:
        processes: (pid, start time in clock ticks); the pair is unique while the host is up.
        namespaces: such as `net:[4026531840]`, without those this process is in.
        cgroups: folders, without those this process is in.
        held: descriptors that keep the namespaces' numbers from being given again.
    """

    processes: frozenset[tuple[int, int]]
    namespaces: frozenset[str]
    cgroups: frozenset[Path]
    held: tuple[int, ...] = ()

    def __or__(self, other: Footprint) -> Footprint:
        """Return both together: a server is looked at more than once."""
        return Footprint(
            processes=self.processes | other.processes,
            namespaces=self.namespaces | other.namespaces,
            cgroups=self.cgroups | other.cgroups,
            held=self.held + other.held,
        )

    def close(self) -> None:
        """Let the namespaces' numbers go; `leftovers` may name strangers' from then on."""
        for fd in self.held:
            os.close(fd)


def take_footprint(launcher_pid: int) -> Footprint:
    """Return what belongs to the launcher and to everything it started; close it after use."""
    parents: dict[int, list[int]] = {}
    for pid in _pids():
        stat = _stat(pid)
        if stat:
            parents.setdefault(int(stat[1]), []).append(pid)
    family = [launcher_pid]
    for pid in family:
        family += parents.get(pid, [])
    own = _PROC / "self"
    cgroups = {
        folder
        for pid in family
        for controller in _CONTROLLERS
        for folder, _ in cgroup_folders(_PROC / str(pid), own, controller)
    }
    ours = {f for c in _CONTROLLERS for f, _ in cgroup_folders(own, own, c)}
    held = _hold_namespaces(family, _namespaces("self"))
    return Footprint(
        processes=frozenset((p, started) for p in family if (started := _started(p)) is not None),
        namespaces=frozenset(held),
        cgroups=frozenset(cgroups - ours),
        held=tuple(held.values()),
    )


def leftovers(footprint: Footprint, home: Path) -> list[str]:
    """Return one line for each thing that is still there; empty means clean.

    Args:
        footprint: what belonged to the server.
        home: its state folder; a mount below it is a leftover too.
    """
    left = [f"process {pid}" for pid, started in footprint.processes if _started(pid) == started]
    alive = {name for pid in _pids() for name in _namespaces(pid)}
    left += [f"namespace {name}" for name in sorted(footprint.namespaces & alive)]
    left += [f"cgroup {folder}" for folder in sorted(footprint.cgroups) if folder.exists()]
    for line in (_PROC / "self" / "mountinfo").read_text().splitlines():
        point = line.split()[4]
        if Path(point).is_relative_to(home):
            left.append(f"mount {point}")
    return left


def _pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, or nothing if it is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _started(pid: int) -> int | None:
    stat = _stat(pid)
    # A zombie holds no resource; it is its parent's to reap.
    return int(stat[19]) if stat and stat[0] != "Z" else None


def _hold_namespaces(family: list[int], ours: frozenset[str]) -> dict[str, int]:
    """Open each namespace of these processes that is not ours; return descriptors by name."""
    held: dict[str, int] = {}
    for pid in family:
        for kind in _KINDS:
            try:
                fd = os.open(_PROC / str(pid) / "ns" / kind, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue  # it has ended, or the kernel has no such namespaces
            # What was opened, not what the link said a moment before.
            name = str((_PROC / "self" / "fd" / str(fd)).readlink())
            if name in ours or name in held:
                os.close(fd)
            else:
                held[name] = fd
    return held


def _namespaces(pid: int | str) -> frozenset[str]:
    found = set()
    try:
        for entry in (_PROC / str(pid) / "ns").iterdir():
            found.add(str(entry.readlink()))
    except OSError:
        pass
    return frozenset(found)
