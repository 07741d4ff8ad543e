"""Raw system calls by name, with arguments that can change nothing.

Trust: runs in a jail. Input: trusted. A filter denies a call before its arguments are looked at, so
bad pointers, descriptors and ids tell whether a call gets through without doing anything, as in
bubblewrap's try-syscall.c: `EFAULT`, `EBADF`, `EINVAL` mean that the kernel itself was reached.
"""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

from corral.selftest.probes.registry import Stopped

LIBC: Final = ctypes.CDLL(None, use_errno=True)
BAD: Final = -1
_MACHINE: Final = platform.machine()
"""Asked early: a sealed process may not ask, and that refusal would hide the call's own."""
_X86_64: Final = {
    "shmget": 29, "clone": 56, "fork": 57, "vfork": 58, "kill": 62, "semget": 64, "msgget": 68,
    "ptrace": 101, "syslog": 103, "setgroups": 116, "setresuid": 117, "capset": 126,
    "personality": 135, "setpriority": 141, "sched_setscheduler": 144, "mlockall": 151,
    "modify_ldt": 154, "pivot_root": 155, "prctl": 157, "acct": 163, "chroot": 161,
    "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "reboot": 169,
    "sethostname": 170, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176,
    "quotactl": 179, "setxattr": 188, "tkill": 200, "timer_create": 222, "clock_settime": 227,
    "tgkill": 234, "mbind": 237, "mq_open": 240, "kexec_load": 246, "add_key": 248,
    "request_key": 249, "keyctl": 250, "ioprio_set": 251, "inotify_init1": 294, "mknodat": 259,
    "unshare": 272, "splice": 275, "tee": 276, "vmsplice": 278, "move_pages": 279,
    "perf_event_open": 298, "fanotify_init": 300, "name_to_handle_at": 303,
    "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
    "kcmp": 312, "finit_module": 313, "memfd_create": 319, "bpf": 321, "execveat": 322,
    "userfaultfd": 323, "preadv2": 327, "pidfd_send_signal": 424, "io_uring_setup": 425,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "pidfd_open": 434,
    "clone3": 435, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442,
    "memfd_secret": 447, "process_mrelease": 448, "getpid": 39,
}  # fmt: skip


def number_of(name: str) -> int:
    """Return a call's number.

    Raises:
        Stopped: `no-table` on a machine whose numbers are not listed here.
    """
    if _MACHINE != "x86_64":
        raise Stopped("no-table")
    return _X86_64[name]


def call(name: str, *arguments: int) -> int:
    """Make one by its name and return its result.

    Raises:
        OSError: the error number that it gave.
        Stopped: see `number_of`.
    """
    return call_number(number_of(name), *arguments)


def call_number(number: int, *arguments: int) -> int:
    """Make one by its number.

    Raises:
        OSError: the error number that it gave.
    """
    ctypes.set_errno(0)
    # SAFETY: every argument is a plain integer; callers pass none that points to memory of ours.
    result = int(LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments)))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def prctl(option: int, argument: int = 0, second: int = 0) -> int:
    """Ask the kernel for a fact about this process (the PR_GET options), or set one.

    Raises:
        OSError: the kernel does not know it.
    """
    zero = ctypes.c_ulong(0)
    # SAFETY: plain integers.
    result = int(LIBC.prctl(option, ctypes.c_ulong(argument), ctypes.c_ulong(second), zero, zero))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
