"""The control's process: it gives itself what each attack needs, then runs the probes' own code.

Trust: operator side; runs our own attacks against our own targets, in a world of its own
(`private_unsafe`) unless a user without root has none. Input: one JSON line of the selftest on
stdin (see `probes.registry.Context`; besides `private`, `own_user`).

There is no other code for a control: what is told apart outside a jail is told apart by the same
lines as inside. So the state must be there to be found: capabilities in every set, limits wide
open, a group, a variable, a descriptor too many, pages that may be merged. What the kernel refuses
to give is noted, and the probe says that refusal.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import socket
import struct
import sys
from pathlib import Path
from typing import Any, Final

from corral.selftest.private_unsafe import end_with_parent, enter, leave_like
from corral.selftest.probes.program import answer

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_NAMESPACES: Final = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
_GROUP: Final = 65_533
_FILES: Final = 8192
_CORE_BYTES: Final = 16 << 20
_MSGQUEUE: Final = 12
_LIMITS: Final = {
    "limit.files": resource.RLIMIT_NOFILE, "limit.queues": _MSGQUEUE,
    "limit.locked-memory": resource.RLIMIT_MEMLOCK, "limit.data": resource.RLIMIT_DATA,
    "limit.file-size": resource.RLIMIT_FSIZE, "limit.cpu-time": resource.RLIMIT_CPU,
    "limit.core": resource.RLIMIT_CORE,
}  # fmt: skip
_PR_SET_MEMORY_MERGE: Final = 67
_PR_CAP_AMBIENT, _AMBIENT_RAISE, _PR_CAPBSET_DROP = 47, 2, 24
_CAP_VERSION_3: Final = 0x20080522
_KEPT_ON: Final = 10
"""CAP_NET_BIND_SERVICE: what the inheritable and the ambient set are shown to hold."""
DROPPED: Final = (9, 11, 12, 17, 23, 25, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 40)
"""Capabilities without which every attack has the same outcome: LINUX_IMMUTABLE, NET_BROADCAST,
NET_ADMIN, SYS_RAWIO, SYS_NICE, SYS_TIME, SYS_TTY_CONFIG, MKNOD, LEASE, AUDIT_WRITE, AUDIT_CONTROL,
SETFCAP, MAC_OVERRIDE, MAC_ADMIN, WAKE_ALARM, BLOCK_SUSPEND, CHECKPOINT_RESTORE. Others must stay:
of SYS_BOOT, SYS_MODULE, SYSLOG or SYS_PACCT the kernel asks first, and without it its answer would
be the filter's own. It then refuses the arguments."""


def main() -> int:
    """Answer one request."""
    request = json.loads(sys.stdin.buffer.readline())
    folder = Path(request["folder"])
    try:
        if request["private"]:
            request["victim"] = enter(folder, own_user=bool(request["own_user"]))
            # SAFETY: one thread. PID 1 waits; its end ends the victim.
            child = os.fork()
            if child:
                leave_like(child)
            end_with_parent()
        request["namespaces"] = _namespaces_of(os.getppid())
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "OSError")
        os.write(1, json.dumps({"id": "selftest.world", "outcome": name}).encode() + b"\n")
        return 1
    refused = give_state(request, folder)
    answer(request, refused)
    return 0


def give_state(request: dict[str, Any], folder: Path) -> dict[str, str]:
    """Give this process what the attacks look for; return what was refused: probe -> error."""
    request["listeners"] = give_descriptors(folder)
    Path(request["scratch"], "data").touch()
    refused = raise_limits(_CORE_BYTES if request["only"] == "resource.core-dump" else 1)
    try:
        os.setgroups([_GROUP])
    except OSError:
        refused["privilege.groups"] = "EPERM"
    zero = ctypes.c_ulong(0)
    # SAFETY: plain integers.
    _LIBC.prctl(_PR_SET_MEMORY_MERGE, ctypes.c_ulong(1), zero, zero, zero)
    if not give_capabilities():
        refused |= dict.fromkeys(
            ("privilege.inheritable", "privilege.ambient", "privilege.effective",
             "privilege.permitted"), "EPERM",
        )  # fmt: skip
    return refused


def give_descriptors(folder: Path) -> list[int]:
    """Open a model at 3, listeners, and a folder too many; return the listeners."""
    model = os.open(folder / "mirror/model", os.O_RDONLY)
    if model != 3:
        os.dup2(model, 3)
        os.close(model)
    # Never below 3: those are taken.
    listeners = [socket.create_server(("127.0.0.1", 0)).detach() for _ in range(2)]
    os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    return listeners


def raise_limits(core_bytes: int) -> dict[str, str]:
    """Open each limit as wide as this process may; return what stays closed: probe -> error.

    Args:
        core_bytes: 1 is the kernel's word for no core, neither in a file nor by a program.
    """
    refused = {}
    for probe, number in _LIMITS.items():
        _soft, hard = resource.getrlimit(number)
        wanted = resource.RLIM_INFINITY
        if number == resource.RLIMIT_NOFILE:
            wanted = _FILES
        if number == resource.RLIMIT_CORE:
            wanted = core_bytes
        try:
            # One below the hard limit: that one may be taken back (resource.raise-limit).
            soft = wanted - 1 if number == resource.RLIMIT_NOFILE else wanted
            resource.setrlimit(number, (soft, wanted))
        except (ValueError, OSError):
            resource.setrlimit(number, (hard, hard))
            refused[probe] = "EPERM"
    return refused


def give_capabilities() -> bool:
    """Fill the inheritable and ambient sets, give up `DROPPED`; return whether there are any."""
    held = _effective()
    keep = held & ~sum(1 << number for number in DROPPED)
    if not held >> _KEPT_ON & 1:
        return False
    for number in DROPPED:
        # SAFETY: plain integers.
        _LIBC.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0)
    halves = [keep & 0xFFFFFFFF, keep >> 32]
    only = [1 << _KEPT_ON, 0]
    header = struct.pack("Ii", _CAP_VERSION_3, 0)
    data = struct.pack("6I", *(w for i in (0, 1) for w in (halves[i], halves[i], only[i])))
    # SAFETY: the kernel reads 8 and 24 bytes of buffers that outlive the call.
    if _LIBC.syscall(_CAPSET[os.uname().machine], header, data):
        return False
    # SAFETY: plain integers.
    raised = _LIBC.prctl(
        _PR_CAP_AMBIENT, ctypes.c_ulong(_AMBIENT_RAISE), ctypes.c_ulong(_KEPT_ON),
        ctypes.c_ulong(0), ctypes.c_ulong(0),
    )  # fmt: skip
    return bool(raised == 0)


_CAPSET: Final = {"x86_64": 126, "aarch64": 91}


def _effective() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _namespaces_of(pid: int) -> dict[str, str]:
    return {kind: str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in _NAMESPACES}
