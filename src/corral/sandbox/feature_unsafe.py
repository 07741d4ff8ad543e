"""Try kernel features in a throw-away child process, so that nothing of ours changes.

Trust: trusted base. Input: none but the kernel's answers.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Final

from corral.core.limits import LANDLOCK_VERSION_MIN

_PR_SET_MDWE: Final = 65
_LANDLOCK_CREATE_RULESET: Final = ctypes.c_long(444)


def in_child(attempt: Callable[[], object]) -> bool:
    """Return whether `attempt` succeeds in a child that ends right afterwards."""
    pid = os.fork()  # SAFETY: the child makes system calls and leaves by _exit.
    if pid == 0:
        try:
            attempt()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def landlock_works() -> bool:
    """Return whether the kernel has Landlock, of a version that holds all that is asked of it."""
    # SAFETY: a null pointer of size 0 only asks for the version.
    answer = ctypes.CDLL(None).syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    return int(answer) >= LANDLOCK_VERSION_MIN


def mdwe_works() -> bool:
    """Return whether the kernel knows PR_SET_MDWE."""
    libc = ctypes.CDLL(None, use_errno=True)

    def attempt() -> None:
        zero = ctypes.c_ulong(0)
        # SAFETY: plain integers.
        if libc.prctl(_PR_SET_MDWE, ctypes.c_ulong(1), zero, zero, zero):
            raise OSError(ctypes.get_errno(), "prctl")

    return in_child(attempt)
