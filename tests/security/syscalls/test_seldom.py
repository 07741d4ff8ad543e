"""Calls that an ordinary run does not show, provoked under the base of all profiles."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.sandbox.policy import load_policy
from tests.security.syscalls.kernel_verdicts import install
from tests.security.syscalls.libseccomp import compile_filter
from tests.security.syscalls.test_rules import without
from tests.support.server import wait_until

SLEEP_S = 60
FUTEX = "202 "
"""How `/proc/PID/syscall` begins while a process waits for a lock."""
LOCK = multiprocessing.get_context("fork").Semaphore(0)


def handler() -> None:
    """A signal with a handler of ours comes."""
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    signal.raise_signal(signal.SIGUSR1)


def sleep() -> None:
    time.sleep(0.01)


def long_sleep() -> None:
    """Wait for a lock, as threads do, and be stopped meanwhile; then it is given."""
    if not LOCK.acquire(timeout=SLEEP_S):
        raise TimeoutError


def clock() -> None:
    """Ask for a clock that no vDSO tells."""
    time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)


ACTS: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "handler": (handler, ("rt_sigreturn",)),
    "abort": (os.abort, ("getpid", "tgkill")),
    "sleep": (sleep, ("clock_nanosleep",)),
    "stopped": (long_sleep, ("restart_syscall",)),
    "clock": (clock, ("clock_gettime",)),
}


def outcome(kind: str, act: Callable[[], None], missing: str | None) -> str:
    """Return how a child ends that acts under a zone's filter, perhaps with one call less."""
    rules = load_policy(kind).syscalls
    program = compile_filter(rules)
    if missing:
        index = next(i for i, rule in enumerate(rules) if missing in rule.names)
        program = without(kind, index, missing)
    child = os.fork()
    if child == 0:
        code = 1
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            install(program)
            act()
            code = 0
        finally:
            os._exit(code)
    if act is long_sleep:
        waits = Path(f"/proc/{child}/syscall")
        assert wait_until(lambda: waits.read_text().startswith(FUTEX), seconds=SLEEP_S / 2)
        os.kill(child, signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
        os.kill(child, signal.SIGCONT)
        LOCK.release()  # the wait that was broken off is resumed, or not, before it sees that
    _, status = os.waitpid(child, 0)
    LOCK.acquire(block=False)  # what the child has not taken is for no other
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"code {os.WEXITSTATUS(status)}"


@pytest.mark.claim("SYS-05")
@pytest.mark.parametrize("act", ACTS)
def test_a_seldom_call_is_needed(act):
    kind = "scan"  # its profile is the base of all
    action, names = ACTS[act]
    wanted = "SIGABRT" if action is os.abort else "code 0"
    assert outcome(kind, action, None) == wanted
    for name in names:
        assert outcome(kind, action, name) != wanted, name
