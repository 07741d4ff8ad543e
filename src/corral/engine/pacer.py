"""Gathers the pieces of running answers and sends them by the clock, all requests together.

Trust: jail zone. The first piece of an answer goes out at once; later ones wait for the next tick.
A token for each event costs a wake-up of gateway and client each, on cores that the engine needs
(docs/benchmarks.md), and tells a watcher of the wire each token's time (ADR 10).
"""

from __future__ import annotations

import _thread
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corral.engine.translate import Turn

    Line = dict[str, Any]


class Pacer:
    """Sends what running requests have, at each tick; safe from several threads.

    Args:
        send: writes messages in one go.
        interval_s: time between ticks; 0 for none: each piece goes out as it comes.
    """

    def __init__(self, send: Callable[[list[Line]], None], interval_s: float) -> None:
        self._send = send
        self._interval_s = interval_s
        self._lock = _thread.allocate_lock()
        self._turns: dict[int, Turn] = {}
        # The ticker waits for this lock while it rests. `threading.Event` would do the same, at the
        # price of the module (docs/benchmarks.md).
        self._work = _thread.allocate_lock()
        self._work.acquire()
        self._is_resting = True
        if interval_s:
            started = _thread.allocate_lock()
            started.acquire()
            _thread.start_new_thread(self._tick_forever, (started,))
            started.acquire()

    def start(self, turn: Turn, piece: Line) -> bool:
        """Send a request's first piece; return whether ticks bring the later ones."""
        with self._lock:
            self._send([piece])
            if not self._interval_s:
                return False
            self._turns[turn.id] = turn
            if self._is_resting:
                self._is_resting = False
                self._work.release()
            return True

    def finish(self, turn: Turn) -> None:
        """Send what is left of a request, and the message that ends it."""
        with self._lock:
            self._turns.pop(turn.id, None)
            # First what is left: the result follows from it.
            self._send([*turn.gather_rest(), turn.result()])

    def tick(self) -> None:
        """Send what every request has."""
        with self._lock:
            pieces = [piece for turn in self._turns.values() if (piece := turn.gather())]
            if pieces:
                self._send(pieces)

    def _rest(self) -> bool:
        with self._lock:
            self._is_resting = not self._turns
            return self._is_resting

    def _tick_forever(self, started: _thread.LockType) -> None:
        started.release()
        while True:
            self._work.acquire()
            while not self._rest():
                # By the clock, not by the piece: ticks of all requests and workers fall together.
                time.sleep(self._interval_s - time.monotonic() % self._interval_s)
                self.tick()
