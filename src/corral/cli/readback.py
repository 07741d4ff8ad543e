"""What the kernel says about a live process: the walls as they stand, not as we meant them.

Trust: operator side. Input: /proc and the cgroup file systems of this host, trusted; nothing is
believed that the process itself or its launcher says.

For `runsc` the process that the host sees is gVisor's sentry: its rows are the outer wall; the
engine's own system calls end in the sentry's kernel, one wall further in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

Verdict = Literal["enforced", "absent", "shown"]

_PROC: Final = Path("/proc")
_NAMESPACES: Final = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")
_OPTIONAL: Final = frozenset({"cgroup", "time"})
"""Namespaces that a runtime may leave out: they hide names and clocks, they guard nothing here."""
_CAPABILITIES: Final = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_SECCOMP_MODES: Final = {"0": "off", "1": "strict", "2": "filter"}
_LIMITS: Final = {
    "Max core file size": "core file",
    "Max open files": "open files",
    "Max address space": "address space",
    "Max data size": "data segment",
}
_UNLIMITED_BYTES: Final = 1 << 60
"""cgroup v1 spells "no limit" as a page-rounded 2^63."""


@dataclass(frozen=True, slots=True)
class Row:
    """One fact.

    Attributes:
        wall: what is looked at.
        value: what the kernel says.
        verdict: `enforced`, `absent`, or `shown` for a fact without a right or wrong.
    """

    wall: str
    value: str
    verdict: Verdict


def read_back(pid: int, *, proc: Path = _PROC) -> tuple[Row, ...]:
    """Return what the kernel says about a process; an unreadable fact is `absent`.

    Args:
        pid: the process, as this host sees it.
        proc: mount point of procfs.
    """
    folder = proc / str(pid)
    return (
        *_namespaces(folder, proc / "self"),
        *_status(folder),
        *_network(folder),
        *_limits(folder),
        *_cgroups(folder, proc / "self"),
        *_leftover_rights(folder),
    )


def _namespaces(folder: Path, own: Path) -> Iterator[Row]:
    apart: list[str] = []
    shared: list[str] = []
    for name in _NAMESPACES:
        here, there = _link(own / "ns" / name), _link(folder / "ns" / name)
        (apart if here and there and here != there else shared).append(name)
    yield Row(
        "own namespaces", " ".join(apart) or "none",
        "enforced" if set(_NAMESPACES) - _OPTIONAL <= set(apart) else "absent",
    )  # fmt: skip
    if shared:
        yield Row("shared namespaces", " ".join(shared), "shown")


def _status(folder: Path) -> Iterator[Row]:
    status = {
        name: value.strip()
        for name, found, value in (line.partition(":") for line in _lines(folder / "status"))
        if found
    }
    mode = _SECCOMP_MODES.get(status.get("Seccomp", ""), "unreadable")
    yield Row(
        "seccomp", f"{mode}, {status.get('Seccomp_filters', '?')} filter(s)",
        "enforced" if mode in {"filter", "strict"} else "absent",
    )  # fmt: skip
    privileges = status.get("NoNewPrivs", "unreadable")
    yield Row("no_new_privs", privileges, "enforced" if privileges == "1" else "absent")
    sets = {name: status.get(name, "unreadable") for name in _CAPABILITIES}
    held = [name for name, value in sets.items() if value.strip("0")]
    yield Row(
        "capabilities",
        "none (all five sets are zero)" if not held else " ".join(f"{n}={sets[n]}" for n in held),
        "enforced" if not held else "absent",
    )
    uids = status.get("Uid", "unreadable").split()
    yield Row(
        "uid on the host",
        uids[0],
        "enforced" if set(uids).isdisjoint({"0", "unreadable"}) else "absent",
    )
    yield Row("threads", _threads(folder) or status.get("Threads", "unreadable"), "shown")


def _threads(folder: Path) -> str:
    """Return how many threads there are and how many filters each has: a seal reaches them all."""
    counts = [
        line.partition(":")[2].strip()
        for status in folder.glob("task/*/status")
        for line in _lines(status)
        if line.startswith("Seccomp_filters:")
    ]
    found = ", ".join(f"{counts.count(n)} with {n} filter(s)" for n in sorted(set(counts)))
    return f"{len(counts)}: {found}" if counts else ""


def _network(folder: Path) -> Iterator[Row]:
    lines = _lines(folder / "net" / "dev")
    names = sorted(line.partition(":")[0].strip() for line in lines[2:])
    yield Row(
        "network interfaces", (" ".join(names) or "none") if lines else "unreadable",
        "enforced" if lines and set(names) <= {"lo"} else "absent",
    )  # fmt: skip


def _limits(folder: Path) -> Iterator[Row]:
    for line in _lines(folder / "limits"):
        for title, name in _LIMITS.items():
            if line.startswith(title):
                soft = line[len(title) :].split()[0]
                must_be_zero = name == "core file"
                yield Row(
                    f"rlimit: {name}", soft,
                    "shown" if not must_be_zero else "enforced" if soft == "0" else "absent",
                )  # fmt: skip


def _cgroups(folder: Path, own: Path) -> Iterator[Row]:
    yield from (
        _limit_row(
            "cgroup: memory", _limit(folder, own, "memory", ("memory.max", "memory.limit_in_bytes"))
        ),
        _limit_row("cgroup: processes", _limit(folder, own, "pids", ("pids.max",))),
    )


def _limit_row(wall: str, value: str | None) -> Row:
    if value is None or not value.isdigit() or int(value) >= _UNLIMITED_BYTES:
        return Row(wall, "no limit", "absent")
    shown = f"{int(value) / 2**20:.0f} MiB" if wall.endswith("memory") else value
    return Row(wall, shown, "enforced")


def _limit(folder: Path, own: Path, controller: str, files: tuple[str, ...]) -> str | None:
    """Return the tightest numeric limit of the process's cgroup and its parents."""
    lowest: str | None = None
    for group, top in cgroup_folders(folder, own, controller):
        for place in (group, *group.parents):
            for name in files:
                value = "".join(_lines(place / name)).strip()
                if value.isdigit() and (lowest is None or int(value) < int(lowest)):
                    lowest = value
            if place == top:
                break
    return lowest


def cgroup_folders(folder: Path, own: Path, controller: str) -> Iterator[tuple[Path, Path]]:
    """Yield (folder of the process's cgroup, mount point) for a controller, v1 and v2.

    Args:
        folder: /proc/PID of the process.
        own: /proc/self, whose mounts are looked through.
        controller: such as `memory`; v2's single hierarchy serves every controller.
    """
    for line in _lines(folder / "cgroup"):
        number, names, path = line.split(":", 2)
        if number != "0" and controller not in names.split(","):
            continue
        for mount in _lines(own / "mountinfo"):
            left, _, right = mount.partition(" - ")
            root, point = left.split()[3:5]
            kind, _, options = right.split()[:3]
            wanted = "cgroup2" if number == "0" else "cgroup"
            if kind != wanted or (number != "0" and controller not in options.split(",")):
                continue
            if not PurePosixPath(path).is_relative_to(root):
                continue
            found = Path(point) / PurePosixPath(path).relative_to(root)
            if found.is_dir():
                yield found, Path(point)
                break


def _leftover_rights(folder: Path) -> Iterator[Row]:
    try:
        environment = (folder / "environ").read_bytes()
        yield Row(
            "environment", f"{len(environment)} bytes", "shown" if environment else "enforced"
        )
        open_files = sorted(_kind(_link(one)) for one in (folder / "fd").iterdir())
    except OSError:
        yield Row("environment, descriptors", "unreadable from here", "shown")
        return
    counts = {kind: open_files.count(kind) for kind in dict.fromkeys(open_files)}
    yield Row("open descriptors", " ".join(f"{kind}:{n}" for kind, n in counts.items()), "shown")


def _kind(target: str) -> str:
    """Name what a descriptor is open on, without repeating paths of the host."""
    if target.startswith("/memfd:"):
        return "memory"
    kind, found, _ = target.partition(":")
    return kind if found and not target.startswith("/") else "file"


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
