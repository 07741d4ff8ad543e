"""Gathers the pieces of running answers and sends them by the clock, all requests together.

Trust: jail zone. The first piece of an answer goes out at once; later ones wait for the next tick.
A token for each event costs a wake-up of gateway and client each, on cores that the engine needs
(docs/benchmarks.md), and tells a watcher of the wire each token's time (ADR 10). The more answers
run, the slower each comes, and the longer its pieces are gathered: events cost no more for it.
"""

from __future__ import annotations

import _thread
import time

from corral.engine.worker_wire import encode_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from corral.engine.translate import Turn

_ANSWERS = 4
"""So many at the same time have an event in each interval, twice as many in each second one."""
_INTERVALS_MAX = 4
"""So many intervals no answer is kept waiting for longer."""


class Pacer:
    """Sends what running requests have, at each tick; safe from several threads.

    Args:
        write: writes lines in one go.
        interval_s: time between ticks while few answers run; 0 for none: each piece goes out as it
            comes.

    Attributes:
        is_resting: no answer runs, and nothing ticks.
    """

    def __init__(self, write: Callable[[bytes], None], interval_s: float) -> None:
        self._write = write
        self._interval_s = interval_s
        self._lock = _thread.allocate_lock()
        self._turns: dict[int, Turn] = {}
        # The ticker waits for this lock while it rests. `threading.Event` would do the same, at the
        # price of the module (docs/benchmarks.md).
        self._work = _thread.allocate_lock()
        self._work.acquire()
        self.is_resting = True
        if interval_s:
            started = _thread.allocate_lock()
            started.acquire()
            _thread.start_new_thread(self._tick_forever, (started,))
            started.acquire()

    def start(self, turn: Turn, lines: bytes) -> bool:
        """Send a request's first piece; return whether ticks bring the later ones."""
        with self._lock:
            self._write(lines)
            if not self._interval_s:
                return False
            self._turns[turn.id] = turn
            if self.is_resting:
                self.is_resting = False
                self._work.release()
            return True

    def finish(self, turn: Turn) -> None:
        """Send what is left of a request, and the message that ends it."""
        with self._lock:
            self._turns.pop(turn.id, None)
            rest = turn.gather()  # first: the result follows from it
            self._write(rest + encode_lines([turn.result()]))

    def tick(self) -> None:
        """Send what every request has."""
        with self._lock:
            lines = b"".join([turn.gather() for turn in self._turns.values()])
            if lines:
                self._write(lines)

    @property
    def interval_s(self) -> float:
        """Time between ticks now: one more interval for each further `_ANSWERS` that run."""
        wanted = -(-len(self._turns) // _ANSWERS)
        return self._interval_s * min(max(wanted, 1), _INTERVALS_MAX)

    def _rest(self) -> bool:
        with self._lock:
            self.is_resting = not self._turns
            return self.is_resting

    def _tick_forever(self, started: _thread.LockType) -> None:
        started.release()
        while True:
            self._work.acquire()
            while not self._rest():
                # By the clock, not by the piece: ticks of all requests and workers fall together.
                interval_s = self.interval_s
                time.sleep(interval_s - time.monotonic() % interval_s)
                self.tick()
