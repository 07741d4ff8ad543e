"""A hog's share is what it took beside its competitors, whatever else runs on the host."""

from __future__ import annotations

import pytest

from corral.selftest.share import FAIR, UNMEASURED, judge_share


def ran(share: float, *, begin: int = 0, end: int = 2000) -> bytes:
    """Return what a competitor wrote that had `share` of a processor, each 20 ms."""
    samples = ((at, int((at - begin) * share)) for at in range(begin, end, 20))
    return b"".join(b"%d %d\n" % sample for sample in samples)


@pytest.mark.parametrize(
    ("outcome", "logs", "means"),
    [
        ("took-920-1000-1500", [ran(0.08), ran(0.08)], "ok"),  # two processors, all for them
        ("took-230-1000-1500", [ran(0.02), ran(0.02)], "ok"),  # others took three quarters of them
        ("took-100-1000-1500", [ran(0.9), ran(0.9)], FAIR),
        ("took-12-1000-1500", [ran(0.1), ran(0.1)], FAIR),  # others again
        ("took-500-1000-1500", [ran(0.5), ran(0.5)], FAIR),  # halves
        ("took-500-1000-1500", [ran(0.5), ran(0.5, begin=1200)], UNMEASURED),  # it began too late
        ("took-500-1000-20001", [ran(0.5), ran(0.5)], UNMEASURED),  # they had ended by then
        ("took-0-1000-1500", [ran(0), ran(0)], UNMEASURED),
        ("took-500-1000-1000", [ran(0.5)], UNMEASURED),
        ("took-500-1000-1500", [], UNMEASURED),
        ("took-500-1000-1500", [b""], UNMEASURED),
        ("ok", [ran(0.5)], UNMEASURED),  # a hog that says by itself that it won
        ("EPERM", [ran(0.5)], "EPERM"),
        ("silent", [ran(0.5)], "silent"),
    ],
)
def test_shares(outcome: str, logs: list[bytes], means: str) -> None:
    assert judge_share(outcome, logs) == means


def test_a_line_cut_in_two_is_not_read() -> None:
    assert judge_share("took-920-1000-1500", [ran(0.08) + b"2000 9999"]) == "ok"
