"""Try kernel features in a throw-away child process, so that nothing of ours changes.

Trust: trusted base. Input: none but the kernel's answers.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from typing import Final

from corral.sandbox import linux_unsafe as linux

_PR_SET_MDWE: Final = 65


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


def namespace_refused() -> str:
    """Return why this user may not make the launcher's namespaces; empty if it may."""
    flags = linux.CLONE_NEWPID | linux.CLONE_NEWNS | linux.CLONE_NEWUSER
    if in_child(lambda: linux.unshare(flags)):
        return ""
    return "the kernel refuses new user, pid and mount namespaces to this user"


def mdwe_works() -> bool:
    """Return whether the kernel knows PR_SET_MDWE."""
    libc = ctypes.CDLL(None, use_errno=True)

    def attempt() -> None:
        zero = ctypes.c_ulong(0)
        # SAFETY: plain integers.
        if libc.prctl(_PR_SET_MDWE, ctypes.c_ulong(1), zero, zero, zero):
            raise OSError(ctypes.get_errno(), "prctl")

    return in_child(attempt)


def read_runtime_version(path: str) -> str:
    """Return the first line of a runtime's `--version`."""
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, check=False, timeout=10, env={}
        )
    except (OSError, subprocess.SubprocessError):
        return "does not run"
    lines = done.stdout.splitlines()
    return lines[0][:80] if lines else "no version"
