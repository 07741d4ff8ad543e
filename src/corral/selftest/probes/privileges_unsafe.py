"""What the process is: ids, capabilities, namespaces, locks; read from the kernel.

Trust: runs in a jail. Input: `Context`. A fact counts as an attack that got through (`ok`) when a
wall is not there, also where another wall would still hold.
"""

from __future__ import annotations

import os
import resource

from corral.selftest.probes.registry import Context, Stopped, probe
from corral.selftest.probes.syscall_unsafe import call, prctl

_PR_GET_DUMPABLE = 3
_PR_GET_SPECULATION_CTRL, _PR_SET_SPECULATION_CTRL = 52, 53
_NO_SUCH_CONTROL = 99
_PR_GET_MEMORY_MERGE = 68
_SPEC_ENABLE, _SPEC_DISABLE, _SPEC_FORCE_DISABLE = 2, 4, 8
_CAPABILITIES = {
    "CapEff": "effective", "CapPrm": "permitted", "CapInh": "inheritable", "CapBnd": "bounding",
    "CapAmb": "ambient",
}  # fmt: skip
_FILTERS = 2
"""Filters of a process that the jail entry has locked: the runtime's and the entry's."""
_NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
_LIMITS = {
    "limit.core": ("RLIMIT_CORE", 0),
    "limit.files": ("RLIMIT_NOFILE", 4096),
    "limit.queues": ("RLIMIT_MSGQUEUE", 0),
    "limit.locked-memory": ("RLIMIT_MEMLOCK", 0),
    "limit.data": ("RLIMIT_DATA", 128 << 20),
    "limit.file-size": ("RLIMIT_FSIZE", 0),
    "limit.cpu-time": ("RLIMIT_CPU", 60),
}


def status(name: str) -> str:
    """Return one field of /proc/self/status.

    Raises:
        Stopped: `no-field`: this kernel, or gVisor's sentry, does not show it.
    """
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith(f"{name}:"):
                return line.split(":", 1)[1].strip()
    raise Stopped("no-field")


def _register() -> None:
    for field, label in _CAPABILITIES.items():

        def held(_: Context, field: str = field) -> None:
            if int(status(field), 16) == 0:
                raise Stopped("none")

        probe(f"privilege.{label}")(held)
    for kind in _NAMESPACES:

        def shared(context: Context, kind: str = kind) -> None:
            if os.readlink(f"/proc/self/ns/{kind}") != context.namespaces.get(kind):
                raise Stopped("own")

        probe(f"namespace.{kind}")(shared)
    for name, (limit, most) in _LIMITS.items():

        def unlimited(_: Context, limit: str = limit, most: int = most) -> None:
            number = getattr(resource, limit, 12)  # 12: RLIMIT_MSGQUEUE, which Python does not name
            soft, hard = resource.getrlimit(number)
            if 0 <= soft <= most and 0 <= hard <= most:
                raise Stopped("limited")

        probe(name)(unlimited)


_register()


@probe("privilege.no-new")
def _no_new(_: Context) -> None:
    if status("NoNewPrivs") == "1":
        raise Stopped("set")


@probe("privilege.filters")
def _filters(_: Context) -> None:
    if status("Seccomp") == "2" and int(status("Seccomp_filters")) >= _FILTERS:
        raise Stopped("filtered")


@probe("privilege.identity")
def _identity(_: Context) -> None:
    with open("/proc/self/uid_map", encoding="ascii") as file:
        lines = [line.split() for line in file]
    if len(lines) == 1 and lines[0][2] == "1":
        raise Stopped("one-id")


@probe("privilege.groups")
def _groups(_: Context) -> None:
    if not status("Groups"):
        raise Stopped("none")


@probe("privilege.set-user")
def _set_user(_: Context) -> None:
    call("setresuid", -1, -1, -1)


@probe("privilege.set-groups")
def _set_groups(_: Context) -> None:
    call("setgroups", -1, 0)


@probe("privilege.set-capabilities")
def _set_capabilities(_: Context) -> None:
    call("capset", 0, 0)


@probe("process.dumpable")
def _dumpable(_: Context) -> None:
    if prctl(_PR_GET_DUMPABLE) == 0:
        raise Stopped("no")


@probe("hardware.merging")
def _merging(_: Context) -> None:
    # KSM would merge equal pages of this process and of others: a timing channel.
    if prctl(_PR_GET_MEMORY_MERGE) == 0:
        raise Stopped("off")


@probe("hardware.store-bypass")
def _store_bypass(_: Context) -> None:
    _speculation(0)


@probe("hardware.indirect-branch")
def _indirect_branch(_: Context) -> None:
    _speculation(1)


@probe("hardware.allow-speculation")
def _allow_speculation(_: Context) -> None:
    # The kernel answers ENODEV, whatever the processor; a filter has looked at the value before.
    prctl(_PR_SET_SPECULATION_CTRL, _NO_SUCH_CONTROL, _SPEC_ENABLE)


def _speculation(control: int) -> None:
    state = prctl(_PR_GET_SPECULATION_CTRL, control)
    if state == 0:
        raise Stopped("not-affected")
    if state == _SPEC_ENABLE:
        raise Stopped("host-decides")
    if state & (_SPEC_DISABLE | _SPEC_FORCE_DISABLE):
        raise Stopped("off")
