"""A rate that a fetch keeps, over all of its connections together.

Trust: fetch jail; no I/O but waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

LEAST_BYTES_PER_S: Final = 1024
"""Slower, and one piece of a body would take so long that the job seems to have died."""


class Throttle:
    """Lets so many bytes a second through; what is not used of a second is not saved up.

    Attributes:
        bytes_per_s: the rate, at least `LEAST_BYTES_PER_S`; 0 for none.
    """

    def __init__(
        self,
        bytes_per_s: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.bytes_per_s = max(bytes_per_s, LEAST_BYTES_PER_S) if bytes_per_s else 0
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._free_s = 0.0

    def spend(self, count: int) -> None:
        """Wait until the bytes that came before this call are paid for, and charge `count`."""
        if not self.bytes_per_s:
            return
        with self._lock:
            now_s = self._clock()
            wait_s = max(0.0, self._free_s - now_s)
            self._free_s = max(now_s, self._free_s) + count / self.bytes_per_s
        if wait_s:
            self._sleep(wait_s)
