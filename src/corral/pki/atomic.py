"""Write a small file so that a reader, and a crash, see the old one or the new one, never a half.

Trust: operator side. Only for folders that no less trusted process can write.
"""

from __future__ import annotations

import os
from pathlib import Path

from corral.core.errors import CorralError


def write_atomically(path: Path, data: bytes, *, mode: int) -> None:
    """Replace `path` by a file of `data` and wait until both are on the disk.

    Args:
        path: destination; its folder exists.
        data: whole content.
        mode: permissions, in force before the first byte is written.

    Raises:
        CorralError: code `state_write_failed`.
    """
    temporary = leftover_of(path)
    try:
        temporary.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(data)
            file.flush()
            os.fsync(fd)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise CorralError(
            "state_write_failed",
            "a file of the state folder cannot be written",
            remedy="check the state folder's disk space and permissions: corral doctor",
        ) from error


def leftover_of(path: Path) -> Path:
    """Return where a write of `path` that a crash cut off leaves what it had.

    One fixed name: it is replaced by the next attempt, so nothing piles up.
    """
    return path.with_name(f".{path.name}.new")


def sync_folder(folder: Path) -> None:
    """Wait until the folder's names are on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
