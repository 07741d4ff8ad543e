"""Opt this process out of what processes share below the system calls: merged pages, predictors.

Trust: trusted base code. The launcher calls it for itself before the first jail, because both
settings are inherited by fork and exec and so reach also a runtime whose jails never talk to the
host's kernel (gVisor). Each jail entry calls it again. Input: none but the kernel's answers.

What is reported is what the kernel says afterwards, never that a call succeeded.

Sources: PR_SET_MEMORY_MERGE(2const), PR_SET_SPECULATION_CTRL(2const), PR_SCHED_CORE(2const),
Linux Documentation/userspace-api/spec_ctrl.rst and admin-guide/hw-vuln/core-scheduling.rst.
"""

from __future__ import annotations

import ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:  # what is imported here stays in the memory of every worker
    from collections.abc import Callable

    Prctl = Callable[..., int]

_PR_GET_SPECULATION_CTRL = 52
_PR_SET_SPECULATION_CTRL = 53
_PR_SCHED_CORE = 62
_PR_SET_MEMORY_MERGE = 67
_PR_GET_MEMORY_MERGE = 68
_STORE_BYPASS, _INDIRECT_BRANCH = 0, 1
_SPEC_DISABLE, _SPEC_FORCE_DISABLE = 4, 8
_CORE_GET, _CORE_CREATE = 0, 1


def call_kernel(option: int, *arguments: int) -> int:
    """Call prctl(2) with up to four numbers; -1 stands for any refusal."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    # SAFETY: the options used here read integers only, but for one address of our own (below).
    return int(ctypes.CDLL(None).prctl(ctypes.c_int(option), *(ctypes.c_ulong(n) for n in padded)))


def opt_out(prctl: Prctl = call_kernel) -> tuple[str, ...]:
    """Take each opt-out that the kernel offers; return the points that are not in force after it.

    `ksm`: no page of this process is merged with an equal page of another (KSM); a kernel that does
    not know the option merges no process as a whole. `speculation`: speculative store bypass and
    indirect branch prediction are off for this process, for good.

    Args:
        prctl: the kernel, or a test's model of it.
    """
    missing = []
    prctl(_PR_SET_MEMORY_MERGE, 0)
    if prctl(_PR_GET_MEMORY_MERGE) > 0:
        missing.append("ksm")
    for control in (_STORE_BYPASS, _INDIRECT_BRANCH):
        prctl(_PR_SET_SPECULATION_CTRL, control, _SPEC_FORCE_DISABLE)
    states = [
        prctl(_PR_GET_SPECULATION_CTRL, control) for control in (_STORE_BYPASS, _INDIRECT_BRANCH)
    ]
    # 0: the processor is not affected. Without PR_SPEC_PRCTL (1) the host decides for everybody.
    if not all(s == 0 or (s > 0 and s & (_SPEC_DISABLE | _SPEC_FORCE_DISABLE)) for s in states):
        missing.append("speculation")
    return tuple(missing)


def lock_hardware(required: tuple[str, ...], prctl: Prctl = call_kernel) -> None:
    """Opt out, and insist on what the isolation level needs.

    Raises:
        OSError: a required point is not in force; the caller must not go on.
    """
    missing = set(opt_out(prctl)) & set(required)
    if missing:
        raise OSError(f"not in force: {', '.join(sorted(missing))}")


def core_scheduling_works(prctl: Prctl = call_kernel) -> bool:
    """Return whether the kernel has core scheduling (CONFIG_SCHED_CORE, and SMT to use it on)."""
    cookie = ctypes.c_ulonglong(0)
    return prctl(_PR_SCHED_CORE, _CORE_GET, 0, 0, ctypes.addressof(cookie)) == 0


def claim_core(prctl: Prctl = call_kernel) -> None:
    """Give this thread, and all that it starts, a core-scheduling cookie of its own.

    From then on the kernel runs nothing else on the SMT siblings of its core at the same time.

    Raises:
        OSError: the kernel refused.
    """
    if prctl(_PR_SCHED_CORE, _CORE_CREATE) != 0:
        raise OSError("the kernel gives no core-scheduling cookie")
