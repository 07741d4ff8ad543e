"""A folder of the quarantine for the time of one scan, and how to tell that its scan has ended.

Trust: operator side. Input: a jail may be shown the folder, and may hold its lock as long as the
jail lives, no longer. The kernel frees the lock when its process ends, however it ends (flock(2)).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from corral.admission.lock import taken
from corral.core.home import Home

SCAN_PREFIX: Final = "scan-"
_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def scan_folder(home: Home) -> Iterator[Path]:
    """Give a folder that a jail may be shown; it is gone afterwards, killed processes aside."""
    while True:
        folder = home.quarantine / f"{SCAN_PREFIX}{os.urandom(8).hex()}"
        folder.mkdir()
        with suppress(FileNotFoundError):  # a sweep was faster than our lock
            fd = os.open(folder, _FLAGS)
            if taken(fd) and folder.exists():
                break
            os.close(fd)
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(fd)


def is_abandoned(folder: Path) -> bool:
    """Return whether no scan uses the folder.

    Raises:
        OSError: it has gone.
    """
    fd = os.open(folder, _FLAGS)
    try:
        return taken(fd)
    finally:
        os.close(fd)


def remove_abandoned(folder: Path) -> None:
    """Delete the folder unless a scan uses it; a scan that is about to takes another one.

    Raises:
        OSError: it has gone, or cannot be deleted.
    """
    fd = os.open(folder, _FLAGS)
    try:
        if taken(fd):
            shutil.rmtree(folder)
    finally:
        os.close(fd)
