"""Ask the kernel what it can do, by calls that change nothing, or in a child that ends at once.

Trust: operator side. Input: none but the kernel's answers. Sources: landlock(7), prctl(2),
adjtimex(2).
"""

from __future__ import annotations

import ctypes
import platform
from typing import Final

from corral.sandbox import linux_unsafe as linux
from corral.sandbox.feature_unsafe import in_child

_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_VERSION: Final = 1
_PR_GET_SPECULATION_CTRL: Final = 52
_TIMEX_BYTES: Final = 256
"""More than `struct timex`, which is 208 bytes on 64-bit Linux."""
_TIME_ERROR: Final = 5

_libc: Final = ctypes.CDLL(None, use_errno=True)


def namespace_refused() -> str:
    """Return why this user may not make the launcher's namespaces; empty if it may."""
    flags = linux.CLONE_NEWPID | linux.CLONE_NEWNS | linux.CLONE_NEWUSER
    if in_child(lambda: linux.unshare(flags)):
        return ""
    return "the kernel refuses new user, pid and mount namespaces to this user"


def landlock_abi() -> int:
    """Return the version of Landlock's interface; 0 if the kernel has none or has it switched off.

    The number of the call is the same on x86_64 and arm64.
    """
    # SAFETY: a null pointer of size 0 with this flag only asks for the version (landlock(7)).
    found = _libc.syscall(
        ctypes.c_long(_LANDLOCK_CREATE_RULESET), None, ctypes.c_size_t(0),
        ctypes.c_uint32(_LANDLOCK_VERSION),
    )  # fmt: skip
    return max(0, int(found))


def speculation_control(which: int) -> int | None:
    """Return the state bits of one speculation control of this process, or None if unknown.

    Args:
        which: 0 store bypass, 1 indirect branch, 2 L1D flush (prctl(2)).
    """
    zero = ctypes.c_ulong(0)
    # SAFETY: plain integers; this call only reads.
    found = _libc.prctl(_PR_GET_SPECULATION_CTRL, ctypes.c_ulong(which), zero, zero, zero)
    return None if found < 0 else int(found)


def clock_synchronised() -> bool | None:
    """Return whether the kernel knows its clock to be synchronised; None if it does not say."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    # SAFETY: a zeroed buffer (modes 0 only reads), larger than what the kernel writes.
    state = _libc.adjtimex(timex)
    return None if state < 0 else state != _TIME_ERROR


def machine() -> tuple[str, str, str]:
    """Return (system, kernel release, machine)."""
    return platform.system(), platform.release(), platform.machine()
