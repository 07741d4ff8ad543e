"""Two file locks of a state folder: one for a whole pull, one for a change of the store.

Trust: operator side. The kernel frees them when their process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from corral.core.home import Home

_LOOK_EVERY_S: Final = 0.2


@contextmanager
def pull_lock(
    home: Home, waiting: Callable[[int, int], None]
) -> Iterator[Callable[[int, int], None]]:
    """Hold the right to use the quarantine.

    Args:
        home: state folder.
        waiting: called again and again while another pull has it, with what that one tells: bytes
            done, and bytes in all or 0.

    Yields:
        A function to tell those who wait how far this pull has come.
    """
    fd = _open(home.quarantine / ".lock")
    try:
        while not taken(fd):
            waiting(*_told(fd))
            time.sleep(_LOOK_EVERY_S)
        os.truncate(fd, 0)
        yield lambda done, total: _tell(fd, done, total)
    finally:
        os.close(fd)


@contextmanager
def try_pull_lock(home: Home) -> Iterator[bool]:
    """Give True while holding the right to use the quarantine, or False at once."""
    fd = _open(home.quarantine / ".lock")
    try:
        yield taken(fd)
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


def taken(fd: int) -> bool:
    """Take the lock of an open file or folder, and return whether nobody else has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tell(fd: int, done_bytes: int, total_bytes: int) -> None:
    # One write of one length: a reader sees no half of it.
    with suppress(OSError):
        os.pwrite(fd, b"%020d %020d" % (done_bytes, total_bytes), 0)


def _told(fd: int) -> tuple[int, int]:
    found = re.fullmatch(rb"([0-9]{20}) ([0-9]{20})", os.pread(fd, 64, 0))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _open(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
