"""How a jail ended, as a value: a status and a reason from a fixed vocabulary.

Trust: trusted base. Input: wait status and cgroup counters from the kernel. Modelled on Sandbox2's
Result (research/aesthetics.md, A3): tests assert the reason, not only that something died.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """What ended the jail."""

    OK = "ok"
    EXITED = "exited"
    SIGNALED = "signaled"
    MEMORY = "memory"
    TIMEOUT = "timeout"
    KILLED = "killed"
    SETUP_ERROR = "setup_error"
    SEAL_FAILED = "seal_failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished jail.

    Attributes:
        reason: exit code (`code 3`), signal name (`SIGKILL`) or limit (`memory limit`).
    """

    status: Status
    reason: str


def classify_exit(
    wait_status: int, *, stopped_by_us: bool, timed_out: bool, out_of_memory: bool,
    unsealed: bool = False,
) -> Outcome:  # fmt: skip
    """Return the outcome for a `waitpid` status; the first cause that applies wins.

    Args:
        wait_status: as `os.waitpid` returns it.
        stopped_by_us: the launcher killed it on request.
        timed_out: the launcher killed it at its deadline.
        out_of_memory: its cgroup counted an OOM kill.
        unsealed: the launcher killed it because it said to be sealed and was not.
    """
    if unsealed:
        return Outcome(Status.SEAL_FAILED, "not sealed")
    if out_of_memory:
        return Outcome(Status.MEMORY, "memory limit")
    if timed_out:
        return Outcome(Status.TIMEOUT, "deadline")
    if stopped_by_us:
        return Outcome(Status.KILLED, "stopped")
    if os.WIFSIGNALED(wait_status):
        number = os.WTERMSIG(wait_status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return Outcome(Status.SIGNALED, name)
    code = os.waitstatus_to_exitcode(wait_status)
    return Outcome(Status.OK, "code 0") if code == 0 else Outcome(Status.EXITED, f"code {code}")
