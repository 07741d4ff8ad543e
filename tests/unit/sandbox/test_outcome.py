from __future__ import annotations

import signal

import pytest

from corral.sandbox.outcome import Outcome, Status, classify_exit

CASES = [
    (0, Outcome(Status.OK, "code 0")),
    (3 << 8, Outcome(Status.EXITED, "code 3")),
    (signal.SIGKILL, Outcome(Status.SIGNALED, "SIGKILL")),
    (signal.SIGSEGV | 0x80, Outcome(Status.SIGNALED, "SIGSEGV")),
    (33, Outcome(Status.SIGNALED, "signal 33")),
]


@pytest.mark.parametrize(("wait_status", "outcome"), CASES)
def test_the_kernel_says_how_it_ended(wait_status: int, outcome: Outcome) -> None:
    found = classify_exit(wait_status, stopped_by_us=False, timed_out=False, out_of_memory=False)
    assert found == outcome


@pytest.mark.claim("SEAL-06")
def test_a_worker_that_was_not_sealed_comes_before_every_other_cause() -> None:
    found = classify_exit(9, stopped_by_us=True, timed_out=True, out_of_memory=True, unsealed=True)
    assert found == Outcome(Status.SEAL_FAILED, "not sealed")


@pytest.mark.parametrize(
    ("causes", "outcome"),
    [
        ((True, True, True), Outcome(Status.MEMORY, "memory limit")),
        ((True, True, False), Outcome(Status.TIMEOUT, "deadline")),
        ((True, False, False), Outcome(Status.KILLED, "stopped")),
    ],
)
def test_the_first_cause_wins(causes: tuple[bool, bool, bool], outcome: Outcome) -> None:
    stopped, late, memory = causes
    found = classify_exit(9, stopped_by_us=stopped, timed_out=late, out_of_memory=memory)
    assert found == outcome
