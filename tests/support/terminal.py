"""A pseudo-terminal with a program on it, read as a person reads it: on from where one stopped."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Terminal:
    """Our end of a terminal.

    Attributes:
        shown: everything read so far.
        process: the program on it, the leader of a session of its own.
    """

    def __init__(self, process: subprocess.Popen[bytes], ours: int) -> None:
        self.process = process
        self.shown = b""
        self._ours = ours
        self._read_to = 0

    def write(self, typed: bytes) -> None:
        os.write(self._ours, typed)

    def read_until(self, wanted: bytes, *, seconds: float = 60) -> None:
        """Read on until `wanted` was shown; what came behind it is there for the next call.

        Raises:
            AssertionError: it was not shown in time.
        """
        until = time.monotonic() + seconds
        while (found := self.shown.find(wanted, self._read_to)) < 0:
            ready, _, _ = select.select([self._ours], [], [], max(0, until - time.monotonic()))
            assert ready, f"{wanted!r} was not shown, but {self.shown[self._read_to :]!r}"
            self.shown += os.read(self._ours, 4096)
        self._read_to = found + len(wanted)


@contextmanager
def terminal(command: Sequence[str]) -> Iterator[Terminal]:
    """Run a program on a terminal of its own; it ends with the block at the latest."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env=os.environ | {"TERM": "dumb"},
        )  # fmt: skip
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            process.wait(30)
    finally:
        os.close(ours)
