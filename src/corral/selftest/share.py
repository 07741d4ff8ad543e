"""Whose the processors were: a process that takes all it gets, beside the selftest's competitors.

Trust: operator side. Input: a hog's outcome, checked by `wire`; what our own competitors wrote.
Only these two are compared: what else runs on the host takes from both alike, and decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from corral.selftest.probes.registry import OK

FAIR: Final = "fair-share"
UNMEASURED: Final = "unmeasured"
"""The hog was not told apart from its competitors: no outcome that any line expects."""
Judge = Callable[[str], str]
COMPETE_S: Final = 20
"""How long a competitor computes."""
_MOST_OF_IT: Final = 0.6
"""A jail beside the twin gets less than a third of what both have, a control in it 12/13."""
# Milliseconds: processor time, begin and end on the monotonic clock, which every process of a host
# shares (time_namespaces(7): no jail has a time namespace).
_TAKEN: Final = re.compile(r"took-([0-9]{1,9})-([0-9]{1,15})-([0-9]{1,15})")


def judge_share(outcome: str, competitors: list[bytes]) -> str:
    """Return what a hog's outcome means: `ok` if it got most of what they had together.

    Args:
        outcome: what it took and when; anything else is why there was nothing to measure, and is
            returned as it is.
        competitors: of each, lines of `MONOTONIC_MS CPU_MS`, while it computed.
    """
    match = _TAKEN.fullmatch(outcome)
    if match is None:
        return UNMEASURED if outcome == OK else outcome
    hog, began, ended = (int(part) for part in match.groups())
    left = [_between(log, began, ended) for log in competitors]
    if not left or None in left or hog + sum(filter(None, left)) == 0:
        return UNMEASURED
    return OK if hog > _MOST_OF_IT * (hog + sum(filter(None, left))) else FAIR


def _between(log: bytes, began_ms: int, ended_ms: int) -> int | None:
    """Return a competitor's processor time in milliseconds; None if it did not run all the time."""
    lines = log[: log.rfind(b"\n") + 1].splitlines()
    samples = [(int(at), int(cpu)) for at, cpu in (line.split() for line in lines)]
    before = [cpu for at, cpu in samples if at <= began_ms]
    during = [cpu for at, cpu in samples if at <= ended_ms]
    if not before or began_ms >= ended_ms or ended_ms > samples[0][0] + COMPETE_S * 1000:
        return None
    return during[-1] - before[-1]
