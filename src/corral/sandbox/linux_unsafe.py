"""The Linux calls that the standard library of Python 3.11 lacks: unshare, mount, prctl, capset.

Trust: trusted base, used by the launcher before it serves anybody. Input: trusted constants and
paths of our own. Every failure raises.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18

_MNT_DETACH: Final = 2
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_CAPBSET_DROP: Final = 24
_CAP_VERSION_3: Final = 0x20080522

_libc: Final = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leave namespaces (unshare(2)).

    Raises:
        OSError: refused by the kernel.
    """
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount (mount(2)); `kind` is empty for binds and remounts.

    Raises:
        OSError: refused by the kernel.
    """
    # SAFETY: every string is encoded and NUL-terminated by ctypes and outlives the call.
    _check(
        _libc.mount(
            source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags),
            data.encode() or None,
        ),
        "mount",
    )  # fmt: skip


def unmount(target: str) -> None:
    """Detach a mount (umount2(2) with MNT_DETACH).

    Raises:
        OSError: refused by the kernel.
    """
    _check(_libc.umount2(target.encode(), _MNT_DETACH), "umount")


def set_process_name(name: str) -> None:
    """Set what `ps -o comm` shows, at most 15 bytes."""
    _check(_libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0), "prctl")


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send a signal to this process when its parent ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl")


def forbid_dumps() -> None:
    """Make this process undumpable: no core file, no tracing by equals."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")


def keep_capabilities(kept: frozenset[int]) -> None:
    """Drop every capability but `kept`, from the bounding set too (capabilities(7)).

    Raises:
        OSError: refused by the kernel.
    """
    last = int(_read("/proc/sys/kernel/cap_last_cap"))
    for number in range(last + 1):
        if number not in kept:
            _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), "capbset")
    effective = _effective()
    words = [0, 0]
    for number in kept:
        if effective >> number & 1:
            words[number // 32] |= 1 << (number % 32)
    header = (ctypes.c_uint32 * 2)(_CAP_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(words[0], words[0], 0, words[1], words[1], 0)
    # SAFETY: both arrays have the sizes that version 3 of capset(2) reads.
    _check(_libc.capset(header, data), "capset")


def _effective() -> int:
    for line in _read("/proc/self/status").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    raise OSError("the kernel shows no CapEff")


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:  # noqa: PTH123 - no pathlib before namespaces exist
        return file.read()


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
