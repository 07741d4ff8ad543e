"""Make a private copy of a file and hash what was written: nobody else can change it then.

Trust: operator side. Input: untrusted file, possibly still writable by a jail or another user: it
is opened once, without following links and without waiting, and only a regular file is read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        stored: of the file of the store that this is a copy of; None: it came from elsewhere.
    """

    path: Path
    digest: Digest
    size_bytes: int
    identity: Identity
    stored: Identity | None = None


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


class SealingCopy:
    """A private copy under way, hashed as it is written; `finish` or `abandon` ends it.

    The file system shares the blocks where it can. What counts is what was written, not what was
    read.

    Args:
        folder: a private folder on the disk of the state folder; made if missing.
        max_bytes: a longer file is refused.

    Attributes:
        size_bytes: how much was copied.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._max_bytes = folder, max_bytes
        self._hasher, self.size_bytes, self._shared = hashlib.sha256(), 0, True
        self._new = folder / f".new-{os.urandom(8).hex()}"
        with copy_errors():
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(self._new, flags, 0o600)

    @property
    def digest(self) -> Digest:
        """Of what was copied so far."""
        return Digest(self._hasher.hexdigest())

    def take(
        self, source_fd: int, until: int | None, moved: Callable[[int, int], None] | None = None
    ) -> None:
        """Copy on from where the copy is.

        Args:
            source_fd: an open file; its position does not matter.
            until: byte before which to stop; None: its end.
            moved: called with (bytes done, bytes in all).

        Raises:
            CorralError: codes `too_large`, `no_space`, `copy_failed`.
        """
        with copy_errors():
            total = os.fstat(source_fd).st_size
            _check_size(self._folder, total, self._max_bytes, self.size_bytes)
            while until is None or self.size_bytes < until:
                left = _CHUNK_BYTES if until is None else until - self.size_bytes
                count = self._copy(source_fd, min(_CHUNK_BYTES, left))
                if not count:
                    return
                self._hash(count)
                if self.size_bytes > self._max_bytes:
                    raise too_large(self._max_bytes)
                if moved is not None:
                    moved(self.size_bytes, max(self.size_bytes, total))

    def finish(self) -> SealedBlob:
        """Make the copy read-only under its digest.

        Raises:
            CorralError: codes `no_space`, `copy_failed`.
        """
        with copy_errors():
            os.fchmod(self._fd, BLOB_MODE)
            os.fsync(self._fd)
            path = self._new.replace(self._folder / self.digest)
            identity = identity_of(os.fstat(self._fd))
        os.close(self._fd)
        return SealedBlob(path, self.digest, self.size_bytes, identity)

    def abandon(self) -> None:
        """Take the copy away."""
        os.close(self._fd)
        self._new.unlink(missing_ok=True)

    def _copy(self, source_fd: int, count: int) -> int:
        at = self.size_bytes
        if self._shared:
            try:
                return os.copy_file_range(source_fd, self._fd, count, at, at)
            except OSError as error:
                if error.errno not in _NO_RANGE_COPY:
                    raise
                self._shared = False
        data = memoryview(os.pread(source_fd, count, at))
        written = 0
        while written < len(data):
            written += os.pwrite(self._fd, data[written:], at + written)
        return written

    def _hash(self, count: int) -> None:
        end = self.size_bytes + count
        while self.size_bytes < end:
            chunk = os.pread(self._fd, end - self.size_bytes, self.size_bytes)
            if not chunk:
                raise OSError(errno.EIO, "short read")
            self._hasher.update(chunk)
            self.size_bytes += len(chunk)


def seal_copy(
    source_fd: int, folder: Path, *, max_bytes: int, moved: Callable[[int, int], None]
) -> SealedBlob:
    """Copy an open file to `folder/<digest>`, hashing the copy.

    Args:
        source_fd: opened by `open_local_file` or `open_fetched_file`.
        folder: a private folder on the disk of the state folder; made if missing.
        max_bytes: a longer file is refused.
        moved: called with (bytes done, bytes in all).

    Raises:
        CorralError: codes `too_large`, `no_space`, `copy_failed`; nothing is left.
    """
    copy = SealingCopy(folder, max_bytes)
    try:
        copy.take(source_fd, None, moved)
        return copy.finish()
    except BaseException:
        copy.abandon()
        raise


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


@contextmanager
def copy_errors() -> Iterator[None]:
    """Turn what a disk says into `no_space` or `copy_failed`."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise no_space() from error
        raise CorralError("copy_failed", "the file cannot be copied into quarantine") from error


def _check_size(folder: Path, total: int, max_bytes: int, copied: int) -> None:
    if total > max_bytes:
        raise too_large(max_bytes)
    disk = os.statvfs(folder)
    if total - copied + RESERVE_BYTES > disk.f_bavail * disk.f_frsize:
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
