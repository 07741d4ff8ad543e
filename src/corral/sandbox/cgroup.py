"""Control groups of the launcher's jails, version 1, 2 or hybrid: where they are, what they count.

Trust: trusted base. Input: files of the kernel under /sys/fs/cgroup. Runtimes that manage cgroups
themselves get only the path (`cgroupsPath`); for gVisor of 2022 (`--ignore-cgroups`), and for every
runtime where a user has only a delegated subtree, the launcher makes the group here and starts the
runtime inside it. Delegation: https://systemd.io/CGROUP_DELEGATION, cgroups(7).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")
LEAF: Final = "corral-self"
"""Version 2 gives controllers only to a group without processes, so in a delegated one our own
processes move down into this leaf, before they start a launcher (`corral.service.leaf`)."""
_NEEDED_V1: Final = ("memory", "pids", "cpu")
_NEEDED_V2: Final = frozenset({"memory", "pids", "cpu"})
CPU_PERIOD_US: Final = 100_000
_REMOVE_SECONDS: Final = 3.0
_PROCS: Final = "cgroup.procs"
_MEMSW: Final = "memory.memsw.limit_in_bytes"
"""Memory and swap together: equal to the memory limit it leaves no swap."""


@dataclass(frozen=True, slots=True)
class CgroupLimits:
    """Limits of one jail.

    Attributes:
        cpu_shares: weight against others, 2 to 262,144, 1024 by the kernel's default.
        cpu_quota_us: processor time in each `CPU_PERIOD_US`; 0 for no bound.
        cpus: processors that may be used, as the kernel lists them; empty for all.
        no_swap: nothing of the jail may be swapped out.
    """

    memory_bytes: int
    pids: int
    cpu_shares: int
    cpu_quota_us: int
    cpus: str = ""
    no_swap: bool = False


@dataclass(frozen=True, slots=True)
class CgroupHost:
    """How this host offers cgroups.

    Attributes:
        version: 1 or 2; 0 if the needed controllers cannot be used.
        root: mount point of the hierarchies.
        delegated: hierarchy (`""` in version 2) -> the group given to this user, below which every
            path here lies; empty where all of the host is ours.
    """

    version: int
    root: Path = ROOT
    delegated: Mapping[str, str] = field(default_factory=dict)

    def folders(self, path: str) -> list[Path]:
        """Return the folders of one group in every hierarchy that exists, named as `/a/b`."""
        if self.version == 2:
            return [self._folder("", path)]
        if self.version == 0:
            return []
        names = self.delegated or sorted(p.parent.name for p in self.root.glob(f"*/{_PROCS}"))
        return [self._folder(name, path) for name in names]

    def _folder(self, hierarchy: str, path: str) -> Path:
        above = self.root / hierarchy / self.delegated.get(hierarchy, "").lstrip("/")
        return above / path.lstrip("/")

    def bounds_swap(self) -> bool:
        """Return whether swap can be limited: on version 1 only with swap accounting."""
        if self.version == 2:
            # The root group has no such file; those below it show whether this kernel has it.
            return any(self._folder("", "").glob("**/memory.swap.max"))
        return self.version == 1 and (self._folder("memory", "") / _MEMSW).exists()

    def has_cpusets(self) -> bool:
        """Return whether groups can be bound to processors; part of what is delegated is not it."""
        if self.version == 2 and not self.delegated:
            return "cpuset" in (self.root / "cgroup.controllers").read_text().split()
        cpus = self.root / "cpuset" / "cpuset.cpus"
        return self.version == 1 and not self.delegated and os.access(cpus, os.W_OK)

    def occupied(self, path: str) -> bool:
        """Return whether a process lives in the group or below it, in whatever PID namespace."""
        return any(read_text(p) for one in self.folders(path) for p in one.glob(f"**/{_PROCS}"))

    def create(self, path: str, limits: CgroupLimits) -> None:
        """Make a group with its limits, for a runtime that does not.

        Raises:
            OSError: the kernel refused; nothing may be started.
        """
        if self.version == 2:
            self._enable_v2(path, _NEEDED_V2 | ({"cpuset"} if limits.cpus else set()))
        for folder in self.folders(path):
            folder.mkdir(parents=True, exist_ok=True)
        if self.version == 1 and limits.cpus:
            self._inherit_cpusets(path)
        for name, value in self._settings(limits):
            hierarchy = "" if self.version == 2 else name.split(".")[0]
            (self._folder(hierarchy, path) / name).write_text(value)

    def weigh(self, path: str, cpu_shares: int) -> None:
        """Change a group's weight against others.

        Raises:
            OSError: the group has gone.
        """
        name, value = self._weight(cpu_shares)
        (self._folder("" if self.version == 2 else "cpu", path) / name).write_text(value)

    def enter(self, path: str) -> None:
        """Move the calling process into a group, e.g. just before it starts a runtime."""
        for folder in self.folders(path):
            # A version 1 cpuset without processors takes no process.
            cpus = folder / "cpuset.cpus"
            if (folder / "cgroup.procs").exists() and (read_text(cpus) or not cpus.exists()):
                (folder / "cgroup.procs").write_text("0")

    def out_of_memory(self, path: str) -> bool:
        """Return whether the kernel has killed in this group because of its memory limit."""
        if self.version == 2:
            file = self._folder("", path) / "memory.events"
        else:
            file = self._folder("memory", path) / "memory.oom_control"
        try:
            counters = dict(line.split() for line in file.read_text().splitlines())
        except (OSError, ValueError):
            return False
        return int(counters.get("oom_kill", "0")) > 0

    def kill_all(self, path: str) -> None:
        """SIGKILL every process of the group and of the groups below it."""
        for folder in self.folders(path):
            for procs in folder.glob("**/cgroup.procs"):
                for pid in _read_pids(procs):
                    try:
                        os.kill(pid, 9)
                    except ProcessLookupError:
                        continue

    def remove(self, path: str) -> None:
        """Remove the group and the groups below it; processes in it must have ended."""
        until = time.monotonic() + _REMOVE_SECONDS
        for folder in self.folders(path):
            if not folder.is_dir():
                continue
            below = sorted((p for p in folder.glob("**") if p.is_dir()), reverse=True)
            for one in below:
                _rmdir(one, until)
        if self.version == 1 and not (self.root / "unified" / _PROCS).exists():
            # crun takes the cover of that mount (`launcher.stage`) for a hierarchy.
            shutil.rmtree(self.root / "unified" / path.lstrip("/"), ignore_errors=True)

    def _inherit_cpusets(self, path: str) -> None:
        above = self.root / "cpuset"
        for part in path.strip("/").split("/"):
            for name in ("cpuset.cpus", "cpuset.mems"):
                if not read_text(above / part / name):
                    (above / part / name).write_text(read_text(above / name))
            above /= part

    def _enable_v2(self, path: str, controllers: frozenset[str]) -> None:
        top = self._folder("", "")
        for parent in reversed(self._folder("", path).parents):
            control = parent / "cgroup.subtree_control"
            if top in (parent, *parent.parents):
                parent.mkdir(exist_ok=True)
                control.write_text(" ".join(f"+{c}" for c in sorted(controllers)))

    def _weight(self, cpu_shares: int) -> tuple[str, str]:
        if self.version == 2:
            # The kernel's two ranges, mapped as runc and crun do it.
            return "cpu.weight", str(1 + (cpu_shares - 2) * 9999 // 262_142)
        return "cpu.shares", str(cpu_shares)

    def _settings(self, limits: CgroupLimits) -> list[tuple[str, str]]:
        cpus = [("cpuset.cpus", limits.cpus)] if limits.cpus else []
        if self.version == 2:
            return [
                *cpus,
                *([("memory.swap.max", "0")] if limits.no_swap else []),
                ("memory.max", str(limits.memory_bytes)),
                ("memory.oom.group", "1"),
                ("pids.max", str(limits.pids)),
                self._weight(limits.cpu_shares),
                ("cpu.max", f"{limits.cpu_quota_us or 'max'} {CPU_PERIOD_US}"),
            ]
        return [
            ("memory.limit_in_bytes", str(limits.memory_bytes)),
            *([(_MEMSW, str(limits.memory_bytes))] if limits.no_swap else []),
            *cpus,
            ("pids.max", str(limits.pids)),
            self._weight(limits.cpu_shares),
            ("cpu.cfs_period_us", str(CPU_PERIOD_US)),
            ("cpu.cfs_quota_us", str(limits.cpu_quota_us or -1)),
        ]


def find_cgroups(root: Path = ROOT, membership: Path = _MEMBERSHIP) -> CgroupHost:
    """Return how the host offers cgroups to this user; version 0 if they cannot be used.

    Args:
        root: mount point of the hierarchies.
        membership: which groups this process is in; a user may own them (`Delegate=yes`).
    """
    offered = _read_words(root / "cgroup.controllers")
    if offered >= _NEEDED_V2 and os.access(root / "cgroup.subtree_control", os.W_OK):
        return CgroupHost(2, root)
    if all((root / c).is_dir() and os.access(root / c, os.W_OK) for c in _NEEDED_V1):
        return CgroupHost(1, root)
    lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    own = {name: path for _, names, path in lines for name in names.split(",")}
    if offered and "" in own:
        group = own[""].removesuffix(f"/{LEAF}")
        folder = root / group.lstrip("/")
        free = not _read_words(folder / "cgroup.procs")
        if free and _read_words(folder / "cgroup.controllers") >= _NEEDED_V2 and _is_ours(folder):
            return CgroupHost(2, root, {"": group})
    mine = [c for c in _NEEDED_V1 if c in own and _is_ours(root / c / own[c].lstrip("/"))]
    if len(mine) == len(_NEEDED_V1):
        return CgroupHost(1, root, {c: own[c] for c in mine})
    return CgroupHost(0, root)


def _is_ours(folder: Path) -> bool:
    return all(os.access(p, os.W_OK) for p in (folder, folder / "cgroup.procs"))


def _read_words(file: Path) -> frozenset[str]:
    try:
        return frozenset(file.read_text().split())
    except OSError:
        return frozenset()


def is_hybrid(root: Path = ROOT) -> bool:
    """Return whether version 2 is mounted beside version 1, which crun 1.8 refuses."""
    return (root / "unified").is_dir() and (root / "memory").is_dir()


def read_text(file: Path) -> str:
    """Return what a file of the kernel says; empty where it is not there."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _read_pids(file: Path) -> list[int]:
    # 0 stands for a process of another PID namespace: to kill(2) that is our own group.
    return [int(word) for word in read_text(file).split() if word.strip("0").isdecimal()]


def _rmdir(folder: Path, until: float) -> None:
    members = folder / "cgroup.procs"
    if members.is_file() and members.stat().st_size:
        # No file of the kernel (those have size 0): crun writes it into the covered version 2
        # mount of a hybrid host (`launcher.stage`), which is small and must not fill up.
        members.unlink()
    while folder.is_dir():
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > until:
                return
            time.sleep(0.01)  # the kernel removes members shortly after their processes ended
