"""The competitors of a hog: real processes, each of which has counted before the hog begins."""

from __future__ import annotations

import time

import pytest

from corral.sandbox.cgroup import CgroupHost
from corral.selftest import outside_unsafe
from corral.selftest.twin import Twin

HALTED = """
import os
write = os.write
os.write = lambda *said: (write(*said), os.kill(os.getpid(), 19))
"""
"""Stops the process after its first word, as a busy machine may."""


def test_one_that_gets_no_time_after_its_first_word_is_judged_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outside_unsafe, "_SPIN", HALTED + outside_unsafe._SPIN)
    with outside_unsafe.competitors(Twin(CgroupHost(0), "", "")) as judge:
        began_ms = int(time.monotonic() * 1000)
        assert judge(f"took-500-{began_ms}-{began_ms + 500}") == "ok"
