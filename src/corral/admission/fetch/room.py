"""Whether the disk has room for a file, and for the copy of it that is hashed outside the jail.

Trust: fetch jail. Input: lengths that servers announce.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.core.limits import MIB

RESERVE_BYTES: Final = 64 * MIB
"""Kept free on the disk of the state folder: the database lives there too."""


def check_room(folder: Path, *, missing_bytes: int, copy_bytes: int) -> None:
    """Refuse a file that does not fit.

    Args:
        folder: where it is written.
        missing_bytes: what is still to come.
        copy_bytes: what its private copy takes; 0 where the file system shares blocks.

    Raises:
        CorralError: code `no_space`.
    """
    needed, free = missing_bytes + copy_bytes + RESERVE_BYTES, _free(folder)
    if needed > free:
        raise no_space(f": {needed >> 20} MiB are needed, {free >> 20} MiB are free")


def check_still_room(folder: Path) -> None:
    """Refuse to go on where only the reserve is left: others write to the disk as well.

    Raises:
        CorralError: code `no_space`.
    """
    if _free(folder) < RESERVE_BYTES:
        raise no_space()


def no_space(figures: str = "") -> CorralError:
    """Return the error of a full disk."""
    return CorralError(
        "no_space",
        f"the disk of the state folder has not enough free space{figures}",
        remedy="free some space, or use another --home",
    )


class disk_errors:  # noqa: N801  a context manager, used like a function
    """Turn a full disk into its code."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise no_space() from error


def _free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
