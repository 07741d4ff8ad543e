"""A clock that stands still while the whole process is held up, for bounds that are claims.

A busy machine may keep a process from running for a second. That second says nothing about the
product, and a bound that is wide enough for it would claim nothing any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_TICK_S: Final = 0.01
_MOST_S: Final = 0.05
"""More than this cannot pass between two ticks of a process that runs: threads take turns sooner.
"""


class RunningClock:
    """Seconds in which this process could run, since the clock was made.

    Attributes:
        now_s: grows in small steps; never by more than there was.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def _tick(self) -> None:
        last_s = time.monotonic()
        while not self._end.wait(_TICK_S):
            now_s = time.monotonic()
            self.now_s += min(now_s - last_s, _MOST_S)
            last_s = now_s

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()


@contextmanager
def running_clock() -> Iterator[RunningClock]:
    """Run a clock for the length of a block."""
    clock = RunningClock()
    clock.start()
    try:
        yield clock
    finally:
        clock.stop()
