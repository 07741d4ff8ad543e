"""Talk to a job in a jail over its pipes: one request in, bounded lines out, nothing left behind.

Trust: operator side. Input: stdout of a job that hostile input may have taken over: each line is
bounded, silence is bounded, stderr is read and thrown away so that it cannot block the job.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from corral.control.client import LauncherClient
from corral.core.errors import CorralError, IpcError
from corral.ipc.messages import StartFetch, StartGuard, StartMedia, StartScan, WorkerEnded

_READ_BYTES: Final = 65536


class JobBrokeProtocol(Exception):  # noqa: N818  a verdict on the job
    """The job printed an over-long line or was silent for too long."""


class JailedJob:
    """A running job; leaving the context kills what is left of it."""

    def __init__(
        self, launcher: LauncherClient, start: StartFetch | StartScan | StartGuard | StartMedia
    ) -> None:
        self._launcher = launcher
        started, fds = launcher.start(start)
        self._worker_id = started.worker_id
        self._stdin, self._stdout, self._stderr = fds
        self._ended: WorkerEnded | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for fd in (self._stdin, self._stdout, self._stderr):
            if fd >= 0:
                os.close(fd)
        if self._ended is None:
            # It may have ended by itself a moment ago, and the launcher may have gone.
            with suppress(CorralError):
                self._launcher.stop(self._worker_id)

    def lines(self, request: bytes, *, line_bytes: int, silence_s: float) -> Iterator[bytes]:
        """Send `request`, then yield each line of stdout until it closes.

        Raises:
            JobBrokeProtocol: a line over `line_bytes`, or no output for `silence_s`.
        """
        have = bytearray()
        for piece in self.pieces(request, silence_s=silence_s):
            have += piece
            *whole, rest = have.split(b"\n")
            if any(len(line) > line_bytes for line in (*whole, rest)):
                raise JobBrokeProtocol("line too long")
            have = bytearray(rest)
            yield from (bytes(line) for line in whole)

    def pieces(self, request: bytes, *, silence_s: float) -> Iterator[bytes]:
        """Send `request`, then yield what comes on stdout, as it comes, until it closes.

        Raises:
            JobBrokeProtocol: no output for `silence_s`.
        """
        waiting = memoryview(request)
        os.set_blocking(self._stdin, False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            selector.register(self._stderr, selectors.EVENT_READ)
            selector.register(self._stdin, selectors.EVENT_WRITE)
            deadline = time.monotonic() + silence_s
            while True:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise JobBrokeProtocol("silent for too long")
                ready = {key.fd for key, _ in selector.select(left_s)}
                if self._stdin in ready:
                    waiting = self._send(waiting)
                    if not waiting:
                        selector.unregister(self._stdin)
                        os.close(self._stdin)
                        self._stdin = -1
                if self._stderr in ready and not os.read(self._stderr, _READ_BYTES):
                    selector.unregister(self._stderr)
                if self._stdout not in ready:
                    continue
                part = os.read(self._stdout, _READ_BYTES)
                if not part:
                    return
                deadline = time.monotonic() + silence_s
                yield part

    def wait_ended(self) -> str:
        """Wait until the job is gone and return its outcome status (`ok`, `memory`, ...)."""
        try:
            self._ended = self._launcher.wait_ended(self._worker_id)
        except IpcError:
            return "launcher_gone"
        return self._ended.status

    def _send(self, waiting: memoryview) -> memoryview:
        if not waiting:
            return waiting
        try:
            return waiting[os.write(self._stdin, waiting) :]
        except BlockingIOError:
            return waiting
        except BrokenPipeError:
            # The job ended before it read all; its output says why.
            return memoryview(b"")
