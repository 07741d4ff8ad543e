"""A rate that is kept, told by a clock of the test's own."""

from __future__ import annotations

import pytest

from corral.admission.fetch.throttle import LEAST_BYTES_PER_S, Throttle


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_rate_is_kept(clock: Clock) -> None:
    throttle = Throttle(10_000, clock, clock.sleep)
    for _ in range(11):
        throttle.spend(5_000)
    assert clock.now_s == pytest.approx(105)


def test_a_pause_is_not_saved_up(clock: Clock) -> None:
    throttle = Throttle(10_000, clock, clock.sleep)
    throttle.spend(10_000)
    clock.now_s += 60
    throttle.spend(10_000)
    assert clock.now_s == 160
    throttle.spend(1)
    assert clock.now_s == pytest.approx(161)


def test_no_rate_and_a_very_low_one(clock: Clock) -> None:
    Throttle(0, clock, clock.sleep).spend(1 << 40)
    assert clock.now_s == 100
    assert Throttle(1, clock, clock.sleep).bytes_per_s == LEAST_BYTES_PER_S
