"""Children of a test: code in a fork of it, and programs that do not outlive it."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_OUT_OF_THE_WAY = 64


def in_child(look: Callable[[], str]) -> str:
    """Return what `look` returns in a forked child, or the error that it raised."""
    read, low = os.pipe()
    write = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY)
    os.close(low)
    pid = os.fork()
    if pid == 0:
        try:
            text = look()
        except BaseException as problem:
            text = f"{type(problem).__name__}: {problem}"
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return text


@contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    """Wait for a program at the end of the block, or kill it where the block failed.

    `with Popen(...)` waits either way: where a test failed before it had ended the program, for
    ever, past any timeout of the test.
    """
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
