"""Run a command under strace and tell which system calls each zone's jail made behind its filters.

A jail's process is known by the interpreter's name that it executes (`corral-engine`, ...). What it
called before its first filter was the OCI runtime's business and does not count; what it called
after a third filter counts for the sealed zone, in all of its threads.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ENTRY_FILTERS = 2
_RAW = ("ioctl", "socket", "socketpair", "mmap", "mprotect", "madvise")
"""Calls whose arguments the rules look at: printed as numbers."""
_LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(\(| resumed>)(.*)")
_CHILD = re.compile(r"\) += (\d+)(?: /\* (\d+) in strace's PID NS \*/)?$")
_BIRTHS = {"clone", "clone3", "fork", "vfork"}
_TITLE = re.compile(r'"/opt/python/bin/corral-(\w+)"')
_FILTER = re.compile(r"\{len=\d+")


def strace_command(output: Path) -> list[str]:
    """Return what stands before a command to trace it and everything that it starts."""
    return ["strace", "-f", "-qq", "--decode-pids=pidns", "-X", "raw", "-s", "0",
            "-e", "signal=none", "-e", f"raw={','.join(_RAW)}", "-o", str(output)]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was made, with those of its arguments that are plain numbers, low 64 bits."""

    name: str
    args: tuple[int | None, ...]


@dataclass(slots=True)
class _Task:
    made: list[tuple[int, Made]] = field(default_factory=list)
    filters: list[int] = field(default_factory=list)
    title: str = ""
    parent: int = 0


def calls_by_zone(trace: Path) -> dict[str, set[Made]]:
    """Return the calls that each zone made, in a file that strace wrote."""
    with trace.open(errors="replace") as file:
        tasks = _tasks(file)
    members: dict[int, list[int]] = defaultdict(list)
    for pid in list(tasks):
        main = _jail_of(pid, tasks)
        if main is not None:
            members[main].append(pid)
    zones: dict[str, set[Made]] = defaultdict(set)
    for main, pids in members.items():
        title = tasks[main].title
        installed = sorted(at for pid in pids for at in tasks[pid].filters)
        last = installed[ENTRY_FILTERS] if len(installed) > ENTRY_FILTERS else None
        for at, made in (one for pid in pids for one in tasks[pid].made):
            if at > installed[0]:
                zones[title].add(made)
            if last is not None and at > last:
                zones[f"{title}-sealed"].add(made)
    return dict(zones)


def _tasks(lines: Iterable[str]) -> dict[int, _Task]:
    tasks: dict[int, _Task] = defaultdict(_Task)
    for at, line in enumerate(lines):
        match = _LINE.match(line)
        if not match:
            continue
        pid, name, kind, rest = int(match[1]), match[2], match[3], match[4]
        task = tasks[pid]
        if name in _BIRTHS and (child := _CHILD.search(rest)):
            tasks[int(child[2] or child[1])].parent = pid
        if kind != "(":
            continue
        if name == "execve" and (title := _TITLE.match(rest)):
            task.title = title[1]
        if _FILTER.search(rest) and (
            (name == "seccomp" and rest.startswith("0x1,"))
            or (name == "prctl" and rest.startswith("0x16, 0x2,"))
        ):
            task.filters.append(at)
        task.made.append((at, Made(name, _numbers(rest))))
    return tasks


def _jail_of(pid: int, tasks: dict[int, _Task]) -> int | None:
    while pid:
        if tasks[pid].title and tasks[pid].filters:
            return pid
        pid = tasks[pid].parent if pid in tasks else 0
    return None


def _numbers(rest: str) -> tuple[int | None, ...]:
    """Return the first arguments where they are numbers."""
    if flags := re.match(r"child_stack=[^,]*, flags=(0x[0-9a-f]+|0)", rest):
        return (int(flags[1], 0),)  # clone: not printed raw, because then its child has no id
    found: list[int | None] = []
    for text in rest.split(",")[:4]:
        number = re.match(r" *(0x[0-9a-f]+|-?\d+)", text)
        found.append(_value(number[1]) & 0xFFFFFFFFFFFFFFFF if number else None)
    return tuple(found)


def _value(text: str) -> int:
    return int(text, 8) if text.startswith("0") and text.isdecimal() else int(text, 0)
