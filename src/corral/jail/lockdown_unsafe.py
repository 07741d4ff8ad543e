"""Process locks that an OCI runtime does not set: no exec, MDWE, not dumpable.

Trust: trusted base code, called first in every jail. Every failure raises, and the process ends
before it reads a hostile byte (fail closed). Under gVisor the sentry is the kernel: it has neither
MDWE nor /proc/self/status lines for these; there an unsupported MDWE is accepted, because the host
kernel never sees the jail's mappings.

Sources: prctl(2) PR_SET_MDWE (Linux 6.3), seccomp(2), research/isolation.md section 2.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:  # what is imported here stays in the memory of every worker
    from typing import Final

_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_PR_SET_MDWE: Final = 65
_MDWE_REFUSE_EXEC_GAIN: Final = 1
_SECCOMP_MODE_FILTER: Final = 2
_RLIMIT_FSIZE: Final = 1

_ALLOW: Final = 0x7FFF0000
_ERRNO_EPERM: Final = 0x00050000 | errno.EPERM
_KILL_PROCESS: Final = 0x80000000

# (audit architecture, execve, execveat): linux/audit.h and the syscall tables.
_MACHINES: Final = {
    "x86_64": (0xC000003E, 59, 322),
    "aarch64": (0xC00000B7, 221, 281),
}
_LOAD_NR: Final = 0
_LOAD_ARCH: Final = 4


def forbid_file_growth() -> None:
    """Set RLIMIT_FSIZE to 0 for good; see setrlimit(2).

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # SAFETY: the kernel reads two words, soft and hard limit, from an array that outlives the call.
    if libc.setrlimit(_RLIMIT_FSIZE, (ctypes.c_ulong * 2)(0, 0)):
        raise OSError(ctypes.get_errno(), "setrlimit was refused")


def lock_process(title: str, *, require_mdwe: bool) -> None:
    """Forbid exec for good, writable-and-executable memory, core dumps and tracing by equals.

    Args:
        title: what `ps` shows as the thread name, e.g. `default/SmolLM2`; cut to 15 bytes.
        require_mdwe: False only where the operator allowed `mdwe` to be missing (Linux < 6.3).

    Raises:
        OSError: the kernel refused a lock; the caller must not go on.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if title:
        _prctl(libc, _PR_SET_NAME, title.encode()[:15])
    # No parent-death signal: until the runtime has exited it is the parent, and its exit would
    # kill the jail. The launcher is PID 1 of the namespace of all jails: they end with it anyway.
    _prctl(libc, _PR_SET_DUMPABLE, 0)
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    in_gvisor = os.path.exists("/proc/sentry-meminfo")  # noqa: PTH110 - before pathlib is imported
    try:
        _prctl(libc, _PR_SET_MDWE, _MDWE_REFUSE_EXEC_GAIN)
    except OSError as error:
        if error.errno != errno.EINVAL or (require_mdwe and not in_gvisor):
            raise
    _forbid_exec(libc)


def _prctl(libc: ctypes.CDLL, option: int, value: int | bytes) -> None:
    argument = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    zero = ctypes.c_ulong(0)
    # SAFETY: prctl reads at most 16 bytes from a name that ctypes ends with a NUL.
    if libc.prctl(option, argument, zero, zero, zero) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option} was refused")


def exec_filter(machine: str) -> bytes:
    """Return the BPF program: execve and execveat fail with EPERM, a foreign ABI is killed.

    Raises:
        KeyError: no table for this machine.
    """
    arch, execve, execveat = _MACHINES[machine]

    def step(code: int, on_true: int, on_false: int, value: int) -> bytes:
        return struct.pack("=HBBI", code, on_true, on_false, value)

    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    return b"".join((
        step(load, 0, 0, _LOAD_ARCH),
        step(equal, 1, 0, arch),
        step(give, 0, 0, _KILL_PROCESS),
        step(load, 0, 0, _LOAD_NR),
        step(at_least, 2, 0, 0x40000000),  # x32 numbers carry bit 30
        step(equal, 1, 0, execve),
        step(equal, 0, 1, execveat),
        step(give, 0, 0, _ERRNO_EPERM),
        step(give, 0, 0, _ALLOW),
    ))  # fmt: skip


def _forbid_exec(libc: ctypes.CDLL) -> None:
    program = exec_filter(os.uname().machine)
    buffer = ctypes.create_string_buffer(program, len(program))

    class _Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    wrapped = _Program(len(program) // 8, ctypes.addressof(buffer))
    zero = ctypes.c_ulong(0)
    # SAFETY: the kernel copies the program during the call; `buffer` and `wrapped` outlive it.
    if libc.prctl(
        _PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(wrapped), zero, zero
    ):
        raise OSError(ctypes.get_errno(), "seccomp was refused")
