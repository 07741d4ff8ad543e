"""Two file locks of a state folder: one for a whole pull, one for a change of the store.

Trust: operator side. The kernel frees them when their process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from corral.core.home import Home


@contextmanager
def pull_lock(home: Home, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the right to use the quarantine; `waiting` is called once if another pull has it."""
    fd = _open(home.quarantine / ".lock")
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@contextmanager
def try_pull_lock(home: Home) -> Iterator[bool]:
    """Give True while holding the right to use the quarantine, or False at once."""
    fd = _open(home.quarantine / ".lock")
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


@contextmanager
def store_lock(home: Home) -> Iterator[None]:
    """Hold the right to change store and catalog together; held for milliseconds only."""
    fd = _open(home.quarantine / ".store-lock")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
