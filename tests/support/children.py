"""Run code in a forked child, for code that changes the process it runs in."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable

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
