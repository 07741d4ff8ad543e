"""Make a private copy of a file and hash what was written: nobody else can change it then.

Trust: operator side. Input: untrusted file, possibly still writable by a jail or another user: it
is opened once, without following links and without waiting, and only a regular file is read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.core.ids import Digest
from corral.core.limits import MIB

BLOB_MODE: Final = 0o444
_CHUNK_BYTES: Final = 8 * MIB
RESERVE_BYTES: Final = 64 * MIB
"""Kept free on the disk of the state folder: the database lives there too."""
_NO_RANGE_COPY: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


Identity = tuple[int, int, int, int, int]
"""Device, inode, mode, bytes, and the nanoseconds of the last change of content.

Not the time of the inode's own change: the scan links the file into a folder of its own."""


def identity_of(facts: os.stat_result) -> Identity:
    """Return what tells a file from every other, and from itself after a change."""
    return facts.st_dev, facts.st_ino, facts.st_mode, facts.st_size, facts.st_mtime_ns


@dataclass(frozen=True, slots=True)
class SealedBlob:
    """A file that only the operator's uid can change.

    Attributes:
        path: where it lies in quarantine.
        identity: of the file that was hashed; another file, or the same one changed since, has
            another.
    """

    path: Path
    digest: Digest
    size_bytes: int
    identity: Identity


def open_local_file(path: Path) -> int:
    """Open a file of the operator for reading.

    Raises:
        CorralError: codes `source_missing`, `source_symlink`, `source_not_a_file`.
    """
    try:
        fd = os.open(path, _FLAGS)
    except FileNotFoundError as error:
        raise CorralError("source_missing", "there is no such file") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CorralError(
                "source_symlink",
                "the file is a symbolic link",
                remedy="name the file that it points to",
            ) from error
        if error.errno == errno.ENXIO:
            raise _not_a_file() from error
        raise CorralError("source_missing", "the file cannot be opened for reading") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _not_a_file()
    return fd


def open_fetched_file(folder: Path, name: str) -> int:
    """Open what a fetch job left in its folder, which the job can still change.

    Raises:
        CorralError: code `fetch_failed`: it is not there, or is not a regular file.
    """
    try:
        folder_fd = os.open(folder, _FLAGS | os.O_DIRECTORY)
        try:
            fd = os.open(name, _FLAGS, dir_fd=folder_fd)
        finally:
            os.close(folder_fd)
    except OSError as error:
        raise CorralError("fetch_failed", "the fetch job left no file") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise CorralError("fetch_failed", "the fetch job left no file")
    return fd


def seal_copy(
    source_fd: int, folder: Path, *, max_bytes: int, moved: Callable[[int, int], None]
) -> SealedBlob:
    """Copy an open file to `folder/<digest>`, hashing the copy.

    The file system shares the blocks where it can.

    Args:
        source_fd: opened by `open_local_file` or `open_fetched_file`.
        folder: a private folder on the disk of the state folder; made if missing.
        max_bytes: a longer file is refused.
        moved: called with (bytes done, bytes in all).

    Raises:
        CorralError: codes `too_large`, `no_space`, `copy_failed`; nothing is left.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    total = os.fstat(source_fd).st_size
    _check_size(folder, total, max_bytes)
    new = folder / f".new-{os.urandom(8).hex()}"
    try:
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            digest, size = _copy(source_fd, fd, total, max_bytes, moved)
            os.fchmod(fd, BLOB_MODE)
            os.fsync(fd)
            path = new.replace(folder / digest)
            identity = identity_of(os.fstat(fd))
        finally:
            os.close(fd)
    except OSError as error:
        new.unlink(missing_ok=True)
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise no_space() from error
        raise CorralError("copy_failed", "the file cannot be copied into quarantine") from error
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return SealedBlob(path, digest, size, identity)


def hash_file(fd: int, *, max_bytes: int, moved: Callable[[int, int], None]) -> Digest:
    """Return the digest of an open file without a copy: enough to refuse it, not to admit it.

    Raises:
        CorralError: codes `too_large`, `copy_failed`.
    """
    hasher, size, total = hashlib.sha256(), 0, os.fstat(fd).st_size
    try:
        while chunk := os.read(fd, MIB):
            hasher.update(chunk)
            size += len(chunk)
            if size > max_bytes:
                raise too_large(max_bytes)
            moved(size, max(size, total))
    except OSError as error:
        raise CorralError("copy_failed", "the file cannot be read") from error
    return Digest(hasher.hexdigest())


def _copy(
    source_fd: int, fd: int, total: int, max_bytes: int, moved: Callable[[int, int], None]
) -> tuple[Digest, int]:
    hasher, size, shared = hashlib.sha256(), 0, True
    while True:
        if shared:
            try:
                count = os.copy_file_range(source_fd, fd, _CHUNK_BYTES)
            except OSError as error:
                if error.errno not in _NO_RANGE_COPY:
                    raise
                shared = False
                continue
        else:
            count = _write_all(fd, os.read(source_fd, _CHUNK_BYTES))
        if count == 0:
            return Digest(hasher.hexdigest()), size
        # What counts is what was written, not what was read.
        left = count
        while left:
            chunk = os.pread(fd, left, size + count - left)
            if not chunk:
                raise OSError(errno.EIO, "short read")
            hasher.update(chunk)
            left -= len(chunk)
        size += count
        if size > max_bytes:
            raise too_large(max_bytes)
        moved(size, max(size, total))


def _write_all(fd: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return len(data)


def _check_size(folder: Path, total: int, max_bytes: int) -> None:
    if total > max_bytes:
        raise too_large(max_bytes)
    disk = os.statvfs(folder)
    if total + RESERVE_BYTES > disk.f_bavail * disk.f_frsize:
        raise no_space()


def too_large(max_bytes: int) -> CorralError:
    """Return the error of a file over `fetch.max_bytes`."""
    return CorralError(
        "too_large",
        f"the file is larger than {max_bytes} bytes",
        remedy="raise fetch.max_bytes in corral.toml if you want it",
    )


def no_space() -> CorralError:
    """Return the error of a full disk."""
    return CorralError(
        "no_space",
        "the disk of the state folder has not enough free space",
        remedy="free some space, or use another --home",
    )


def _not_a_file() -> CorralError:
    return CorralError("source_not_a_file", "the source is not a regular file")
