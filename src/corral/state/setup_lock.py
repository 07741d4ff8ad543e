"""One at a time: whoever makes or replaces keys and certificates of a state folder.

Trust: operator side. Input: the state folder, which exists.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from corral.core.home import Home


@contextmanager
def setup_lock(home: Home) -> Iterator[None]:
    """Wait for the lock and hold it.

    It is on the folder itself, so that it needs no file and ends with the process.

    Raises:
        OSError: the folder cannot be opened.
    """
    fd = os.open(home.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
