"""Gathers the pieces of running answers and sends them by the clock, all requests together.

Trust: jail zone. The first piece of an answer goes out at once; later ones wait for the next tick.
A token for each event costs a wake-up of gateway and client each, on cores that the engine needs
(docs/benchmarks.md), and tells a watcher of the wire each token's time (ADR 10).
"""

from __future__ import annotations

import _thread
import time

from corral.engine.worker_wire import chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Line = dict[str, Any]


class _Held:
    __slots__ = ("logprobs", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.logprobs: list[Line] = []

    def chunk(self, request_id: int) -> Line:
        return chunk(request_id, "".join(self.texts), self.logprobs)


class Pacer:
    """Holds pieces until the next tick; safe from several threads.

    Args:
        send: writes messages in one go.
        interval_s: time between ticks; 0 sends each piece at once.
    """

    def __init__(self, send: Callable[[list[Line]], None], interval_s: float) -> None:
        self._send = send
        self._interval_s = interval_s
        self._lock = _thread.allocate_lock()
        self._held: dict[int, _Held] = {}
        self._begun: set[int] = set()
        # Locked while nothing is held: the ticker waits here. `threading.Event` would do the same,
        # at the price of the module (docs/benchmarks.md).
        self._nothing = _thread.allocate_lock()
        self._nothing.acquire()
        if interval_s:
            started = _thread.allocate_lock()
            started.acquire()
            _thread.start_new_thread(self._tick_forever, (started,))
            started.acquire()

    def piece(self, request_id: int, text: str, logprobs: list[Line]) -> None:
        """Take one piece of an answer."""
        with self._lock:
            if not self._interval_s or request_id not in self._begun:
                self._begun.add(request_id)
                self._send([chunk(request_id, text, logprobs)])
                return
            held = self._held.setdefault(request_id, _Held())
            held.texts.append(text)
            held.logprobs += logprobs
            if self._nothing.locked():
                self._nothing.release()

    def finish(self, last: Line, request_id: int) -> None:
        """Send what is held of a request, then the message that ends it."""
        with self._lock:
            self._begun.discard(request_id)
            held = self._held.pop(request_id, None)
            self._send([held.chunk(request_id), last] if held else [last])

    def tick(self) -> None:
        """Send everything that is held."""
        with self._lock:
            self._nothing.acquire(blocking=False)
            if self._held:
                held, self._held = self._held, {}
                self._send([one.chunk(request_id) for request_id, one in held.items()])

    def _tick_forever(self, started: _thread.LockType) -> None:
        started.release()
        while True:
            self._nothing.acquire()
            # By the clock, not by the piece: ticks of all requests and workers fall together.
            time.sleep(self._interval_s - time.monotonic() % self._interval_s)
            self.tick()
