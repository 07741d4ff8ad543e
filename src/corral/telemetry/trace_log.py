"""The gateway's traces: a thread makes lines of timelines and writes them; nobody waits for it.

Trust: gateway [net]. Must never block the event loop nor fail a request: what does not fit, or
cannot be written, is dropped and counted. Input: our own timelines.
"""

from __future__ import annotations

import queue
import threading
from typing import Final

from corral.core.errors import CorralError
from corral.telemetry.log import get_logger
from corral.telemetry.metrics import TRACES_DROPPED
from corral.telemetry.spans import trace_line
from corral.telemetry.timeline import Timeline
from corral.telemetry.trace_files import TraceWriter

_log: Final = get_logger(__name__)

_KEPT: Final = 1024
"""Timelines in memory, about 1 KiB each."""
_GATHER_S: Final = 0.25
"""Writing waits so long for company: a thread that wakes for each request takes turns from the
event loop."""
_CLOSE_S: Final = 5.0


class TraceLog:
    """Takes timelines from one event loop.

    Args:
        writer: of the files.

    Attributes:
        dropped: how many traces were not written, by reason (`metrics.TRACES_DROPPED`).
    """

    def __init__(self, writer: TraceWriter) -> None:
        self._writer = writer
        self.dropped = dict.fromkeys(TRACES_DROPPED, 0)
        self._queue: queue.SimpleQueue[Timeline | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def add(self, timeline: Timeline) -> None:
        """Queue the timeline of a request that is over; never blocks, never raises."""
        if self._queue.qsize() < _KEPT and not self._closing.is_set():
            self._queue.put(timeline)
        else:
            self.dropped["queue"] += 1

    def leave_out(self) -> None:
        """Count a refusal that is one too many to leave a trace."""
        self.dropped["pace"] += 1

    def close(self) -> None:
        """Write what is queued, and stop."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        timeline = self._queue.get()
        while timeline is not None:
            self._closing.wait(_GATHER_S)
            while timeline is not None:
                self._write(timeline)
                try:
                    timeline = self._queue.get_nowait()
                except queue.Empty:
                    timeline = self._queue.get()
                    break
        self._writer.close()

    def _write(self, timeline: Timeline) -> None:
        # One line at a time: between two of them the event loop has its turn.
        try:
            self._writer.write(trace_line(timeline))
        except (OSError, CorralError) as error:
            self.dropped["write"] += 1
            if not self._failing:
                _log.error("traces_not_written", reason=type(error).__name__)
            self._failing = True
        else:
            self._failing = False
