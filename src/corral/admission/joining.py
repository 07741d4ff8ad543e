"""Make one file of the parts of a model, by a plan that a scan jail made.

Trust: operator side. Input: sealed parts, and a plan that names bytes of them: nothing here looks
into a byte. The file that comes of it is hashed, scanned and tried like any other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from corral.admission.progress import Progress
from corral.admission.scan.merge_plan import MergePlan
from corral.admission.sealing import (
    BLOB_MODE,
    RESERVE_BYTES,
    SealedBlob,
    copy_errors,
    hash_file,
    identity_of,
    no_space,
    too_large,
)
from corral.core.limits import MIB

_CHUNK_BYTES: Final = 8 * MIB


def join_parts(
    parts: Sequence[Path], plan: MergePlan, folder: Path, *, max_bytes: int, progress: Progress
) -> SealedBlob:
    """Return the file that a plan makes of sealed parts, as `folder/<digest>`.

    Args:
        parts: in the order that the plan counts them by.
        plan: within the bounds of the parts.
        folder: a private folder on the disk of the state folder.
        max_bytes: a longer file is refused.
        progress: stage `copy`.

    Raises:
        CorralError: codes `too_large`, `no_space`, `copy_failed`; nothing is left.
    """
    total = plan.size_bytes
    if total > max_bytes:
        raise too_large(max_bytes)
    disk = os.statvfs(folder)
    if total + RESERVE_BYTES > disk.f_bavail * disk.f_frsize:
        raise no_space()
    new = folder / f".new-{os.urandom(8).hex()}"
    opened: list[int] = []
    try:
        with copy_errors():
            opened += [os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC) for path in parts]
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            fd = os.open(new, flags, 0o600)
            opened.append(fd)
            _write(plan, opened, fd, progress)
            os.fchmod(fd, BLOB_MODE)
            os.fsync(fd)
            os.lseek(fd, 0, os.SEEK_SET)
            digest = hash_file(
                fd, max_bytes=max_bytes, moved=lambda done, total: progress("hash", done, total)
            )
            path = new.replace(folder / digest)
            return SealedBlob(path, digest, total, identity_of(os.fstat(fd)))
    finally:
        new.unlink(missing_ok=True)
        for one in opened:
            os.close(one)


def _write(plan: MergePlan, parts: Sequence[int], fd: int, progress: Progress) -> None:
    done, total = 0, plan.size_bytes
    for piece in plan.merge:
        _write_all(fd, piece.literal)
        offset, left = piece.offset, piece.length
        while left:
            chunk = os.pread(parts[piece.part], min(_CHUNK_BYTES, left), offset)
            if not chunk:
                raise OSError("a part is shorter than it was")
            _write_all(fd, chunk)
            offset, left, done = offset + len(chunk), left - len(chunk), done + len(chunk)
            progress("copy", done, total)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
