"""The world that a control acts in: own namespaces, and our own files in the place of the host's.

Trust: operator side, as root or in an own user namespace. Input: the selftest's own request.
Called in a process of one thread that does nothing else afterwards but be the control. What cannot
be made raises, and the control does not run (fail closed).

Own: mount, PID, IPC and UTS namespaces. Not own: the network namespace, because a control of
`net.*` must reach the listeners outside; all that it does there is to make sockets and to connect
to those.

Steps of `enter`: 1. an own user namespace, if asked for; 2. the namespaces; 3. a child, PID 1 of
the new namespace, goes on; the caller waits and ends like it; 4. mounts are private, /proc is the
new namespace's; 5. `STAND_INS` are covered by files and folders of the selftest; 6. a victim is
made.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Final

_NEWNS, _NEWUTS, _NEWIPC, _NEWPID, _NEWUSER = (
    0x00020000, 0x04000000, 0x08000000, 0x20000000, 0x10000000,
)  # fmt: skip
_NOSUID_NODEV_NOEXEC: Final = 2 | 4 | 8
_BIND, _PRIVATE, _REC = 4096, 1 << 18, 16384
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_DISKS: Final = ("vda", "sda", "nvme0n1", "xvda", "loop0")
_DEVICES: Final = ("kmsg", "mem", "kvm", "fuse", "net/tun", "vhost-net", "userfaultfd", *_DISKS)
STAND_INS: Final = (
    "/etc/passwd", "/etc/shadow", "/home", "/proc/kallsyms", "/proc/kcore", "/proc/keys",
    "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
    *(f"/dev/{name}" for name in _DEVICES),
)  # fmt: skip
"""What of the host a control would read secrets from or could write: covered, where it is there."""
SIGNAL_BASE: Final = 128
"""A control that a signal ended exits with this and the signal's number."""


def enter(folder: Path, *, own_user: bool) -> int:
    """Take the steps of the module's docstring; return the victim's process id.

    Raises:
        OSError: the kernel refused one.
    """
    if own_user:
        _enter_user_namespace()
    _check(_LIBC.unshare(_NEWNS | _NEWUTS | _NEWIPC | _NEWPID), "unshare")
    # SAFETY: one thread; the child goes on alone, the parent only waits.
    child = os.fork()
    if child:
        leave_like(child)
    end_with_parent()
    _mount(None, "/", None, _PRIVATE | _REC)
    _mount("proc", "/proc", "proc", _NOSUID_NODEV_NOEXEC)
    token = os.urandom(4).hex()  # PID 1 of many namespaces in one folder
    for number, place in enumerate(STAND_INS):
        if Path(place).exists():
            _cover(folder / f"stand-in-{token}-{number}", place)
    return _make_victim()


def leave_like(child: int) -> None:
    """Wait for a child and end this process as it ended."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(code if code >= 0 else SIGNAL_BASE - code)


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends."""
    # SAFETY: plain integers.
    _check(_LIBC.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0), "prctl")


def _enter_user_namespace() -> None:
    uid, gid = os.getuid(), os.getgid()
    _check(_LIBC.unshare(_NEWUSER), "unshare")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")


def _cover(ours: Path, place: str) -> None:
    if Path(place).is_dir():
        ours.mkdir()
        (ours / "somebody").mkdir()
    else:
        ours.write_text("made by the selftest\n", encoding="ascii")
    _mount(str(ours), place, None, _BIND)


def _make_victim() -> int:
    # SAFETY: one thread; the child sleeps until its namespace ends.
    victim = os.fork()
    if victim:
        return victim
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    time.sleep(600)
    os._exit(0)


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    def text(given: str | None) -> ctypes.c_char_p:
        return ctypes.c_char_p(given.encode() if given is not None else None)

    # SAFETY: the strings outlive the call; the kernel reads them up to their NUL.
    result = _LIBC.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), None)
    _check(result, f"mount on {target}")


def _check(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, what)
