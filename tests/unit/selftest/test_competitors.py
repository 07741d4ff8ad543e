"""The competitors of a hog: real processes, each of which has counted before the hog begins."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from corral.selftest.outside_unsafe import _SPIN
from corral.selftest.share import judge_share

HALTED = """
import os
write = os.write
os.write = lambda *said: (write(*said), os.kill(os.getpid(), 19))
"""
"""Stops the process after its first word, as a busy machine may."""


def test_one_that_gets_no_time_after_its_first_word_is_judged_all_the_same() -> None:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", HALTED + _SPIN], stdout=subprocess.PIPE, env={}
    ) as competitor:
        try:
            assert competitor.stdout is not None
            out = competitor.stdout.fileno()
            assert os.read(out, 1) == b"."  # it runs: from here on the hog may begin
            began_ms = int(time.monotonic() * 1000)
            os.set_blocking(out, False)
            said = os.read(out, 4096)
        finally:
            competitor.kill()
    assert judge_share(f"took-500-{began_ms}-{began_ms + 500}", [said]) == "ok"
