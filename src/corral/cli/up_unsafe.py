"""Turn this process into the launcher, and leave a child behind that tells when it is ready.

Before that, another child does what needs not be waited for.

Trust: operator side. The process id stays, so that whoever started `corral up` can signal it.
Input: one JSON line of the launcher on a pipe, at most `_LINE_BYTES`.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NoReturn

from corral.core.errors import CorralError

_LINE_BYTES: Final = 16 * 1024

Announce = Callable[[str, int], None]
Complain = Callable[[CorralError], None]


@contextmanager
def work_beside(work: Callable[[], bytes]) -> Iterator[Callable[[], bytes]]:
    """Do something in a child while the block goes on.

    Gives a function that waits for the child and returns what `work` returned; nothing if it
    failed. At the end of the block the child has ended.
    """
    child, read = _working(work)
    ended: list[int] = []

    def result() -> bytes:
        with os.fdopen(read, "rb", closefd=False) as pipe:
            document = pipe.read()
        ended.append(os.waitpid(child, 0)[1])
        return b"" if ended[0] else document

    try:
        yield result
    finally:
        os.close(read)
        if not ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def work_apart(work: Callable[[], bytes]) -> bytes:
    """Do something in a child and wait for it: nothing that it learned is in our own memory.

    Returns:
        What `work` returned; nothing if it failed.
    """
    child, read = _working(work)
    try:
        with os.fdopen(read, "rb") as pipe:
            document = pipe.read()
    finally:
        # Also after Ctrl-C, which the child has got too: it gives the terminal back before it ends.
        status = os.waitpid(child, 0)[1]
    return b"" if status else document


def _working(work: Callable[[], bytes]) -> tuple[int, int]:
    """Return a child, and the descriptor on which it writes what `work` returns."""
    read, write = os.pipe()
    child = os.fork()  # SAFETY: this process has one thread.
    if child == 0:
        status = 1
        try:
            with os.fdopen(write, "wb") as pipe:
                pipe.write(work())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    return child, read


def become_launcher(
    command: Callable[[int], list[str]],
    *,
    announce: Announce,
    complain: Complain,
    inherit: Sequence[int] = (),
    beside: Callable[[int], None] | None = None,
) -> NoReturn:
    """Replace this process by the launcher.

    Args:
        command: returns the launcher's argv for the descriptor it announces itself on.
        announce: called in the child with (host, port) once the server answers.
        complain: called in the child with what kept the server from starting.
        inherit: descriptors besides its own that the launcher is to have.
        beside: called in the child, after all this, with a pidfd of the launcher; it may go on for
            as long as that lives.
    """
    ready, ready_write = os.pipe()
    argv = command(ready_write)
    own = os.pidfd_open(os.getpid())  # this process, also after it has become the launcher
    child = os.fork()
    if child == 0:
        for fd in (ready_write, *inherit):  # nothing that goes on beside the server has these
            os.close(fd)
        # A grandchild belongs to init: the launcher never has to know or reap it.
        if os.fork() == 0:
            _tell(ready, own, announce, complain, beside)
        os._exit(0)
    os.close(ready)
    os.close(own)
    os.waitpid(child, 0)
    for fd in (ready_write, *inherit):
        os.set_inheritable(fd, True)
    os.execv(argv[0], argv)


def _tell(
    ready: int,
    launcher: int,
    announce: Announce,
    complain: Complain,
    beside: Callable[[int], None] | None,
) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = 1
    try:
        with os.fdopen(ready, "rb") as pipe:
            line = pipe.readline(_LINE_BYTES)
        state = parse_ready(line)
        if isinstance(state, CorralError):
            complain(state)
        else:
            announce(*state)
            if "NOTIFY_SOCKET" in os.environ:
                # A service manager believes its main process only: that one passes it on.
                signal.pidfd_send_signal(launcher, signal.SIGUSR1)
            if beside is not None:
                beside(launcher)
            status = 0
    finally:
        os._exit(status)


def parse_ready(line: bytes) -> tuple[str, int] | CorralError:
    """Return (host, port) of a ready line, or what kept the server from starting."""
    try:
        document = json.loads(line)
        if "error" in document:
            error = document["error"]
            return CorralError(
                str(error["code"]), str(error["message"]), remedy=str(error["remedy"])
            )
        return str(document["host"]), int(document["port"])
    except (ValueError, KeyError, TypeError):
        return CorralError(
            "start_failed",
            "the server ended before it was ready",
            remedy="see what it said with: corral logs; what the host lacks with: corral doctor",
        )
