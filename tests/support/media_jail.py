"""A media jail that takes file after file, for tests that have many: the real one, kept open."""

from __future__ import annotations

import os
import select
from contextlib import suppress
from types import TracebackType
from typing import Self

from corral.control.client import LauncherClient
from corral.core.errors import CorralError
from corral.ipc.messages import StartMedia
from corral.media.formats import Format
from corral.media.wire import Broken, Outcome, Reading, Task, encode_task

PATIENCE_S = 45.0


class MediaJail:
    """One jail, and the next one where that has ended.

    Attributes:
        starts: how many jails there were.
        errors: what decoders wrote on standard error, which nobody else ever reads.
    """

    def __init__(self, launcher: LauncherClient, *, seconds_max: int = 10, each: int = 400) -> None:
        self.starts = 0
        self.errors = b""
        self._launcher = launcher
        self._seconds_max = seconds_max
        self._each = each
        self._left = 0
        self._worker = 0
        self._fds: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.end()

    def ask(self, format_: Format, data: bytes) -> Outcome:
        """Return what it says of a file; `Broken` where it ended or was silent."""
        if not self._left:
            self._renew()
        self._left -= 1
        task = Task(format_, len(data), 25_000_000, 256, self._seconds_max)
        outcome = self._exchange(Reading(task), memoryview(encode_task(task) + data))
        if isinstance(outcome, Broken):
            self.end()
        return outcome

    def end(self) -> None:
        """End the jail that runs."""
        for fd in self._fds:
            os.close(fd)
        if self._worker:
            with suppress(CorralError):
                self._launcher.stop(self._worker)
        self._fds, self._worker, self._left = (), 0, 0

    def _renew(self) -> None:
        self.end()
        started, self._fds = self._launcher.start(StartMedia())
        self._worker = started.worker_id
        self.starts += 1
        self._left = self._each
        for fd in self._fds:
            os.set_blocking(fd, False)

    def _exchange(self, reading: Reading, waiting: memoryview) -> Outcome:
        stdin, stdout, stderr = self._fds
        while True:
            readable, writable, _ = select.select(
                (stdout, stderr), (stdin,) if waiting else (), (), PATIENCE_S
            )
            if not readable and not writable:
                return Broken()
            if writable:
                try:
                    waiting = waiting[os.write(stdin, waiting) :]
                except BrokenPipeError:
                    waiting = waiting[:0]
            if stderr in readable and not (told := os.read(stderr, 65536)):
                return Broken()
            if stderr in readable:
                self.errors = (self.errors + told)[-65536:]
            if stdout in readable:
                outcome = reading.feed(os.read(stdout, 1 << 20))
                if outcome is not None:
                    return outcome
