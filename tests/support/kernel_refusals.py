"""Run code in a child whose kernel refuses one system call, as an older or stricter kernel would.

A seccomp filter answers the call with an error number; the code under test is the real one.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Callable

from tests.support.children import in_child

_NUMBERS = {
    "x86_64": {
        "prctl": 157,
        "unshare": 272,
        "mount": 165,
        "capset": 126,
        "prlimit64": 302,
        "landlock_create_ruleset": 444,
        "landlock_add_rule": 445,
        "landlock_restrict_self": 446,
    },
    "aarch64": {
        "prctl": 167,
        "unshare": 97,
        "mount": 40,
        "capset": 91,
        "prlimit64": 261,
        "landlock_create_ruleset": 444,
        "landlock_add_rule": 445,
        "landlock_restrict_self": 446,
    },
}
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def in_restricted_child(
    look: Callable[[], str],
    *,
    call: str = "prctl",
    prctl_option: int | None = None,
    error: int = errno.EINVAL,
) -> str:
    """Return what `look` returns, or `OSError <number>`, in a child without one system call."""

    def restricted() -> str:
        try:
            _refuse(call, prctl_option, error)
            return look()
        except OSError as problem:
            return f"OSError {problem.errno}"

    return in_child(restricted)


def _refuse(call: str, first_argument: int | None, error: int) -> None:
    def step(code: int, on_true: int, on_false: int, value: int) -> bytes:
        return struct.pack("=HBBI", code, on_true, on_false, value)

    number = _NUMBERS[platform.machine()][call]
    program = step(0x20, 0, 0, 0) + step(0x15, 0, 1 if first_argument is None else 3, number)
    if first_argument is not None:
        program += step(0x20, 0, 0, 16) + step(0x15, 0, 1, first_argument)
    program += step(0x06, 0, 0, _ERRNO | error) + step(0x06, 0, 0, _ALLOW)
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    libc = ctypes.CDLL(None, use_errno=True)
    wrapped = Program(len(program) // 8, ctypes.addressof(buffer))
    zero, one = ctypes.c_ulong(0), ctypes.c_ulong(1)
    for option, first, second in (
        (38, one, zero),  # PR_SET_NO_NEW_PRIVS
        (22, ctypes.c_ulong(2), ctypes.byref(wrapped)),  # PR_SET_SECCOMP, a filter
    ):
        if libc.prctl(option, first, second, zero, zero):
            raise OSError(ctypes.get_errno(), "the test's own filter was refused")
