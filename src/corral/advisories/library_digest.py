"""The digest of the engine's library, hashed once for as long as the file stays the same.

Trust: operator side. Input: the installed package's library; a note in the state folder, which only
the operator's uid writes. Which build of the engine is installed is what the digest is for: whoever
may replace a file of the installation, or the note, may replace corral too. 100 MB are hashed in a
quarter of a second, and every restart would wait for it.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from corral.core.errors import CorralError
from corral.pki.atomic import write_atomically


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A digest and the file that it was taken of, as stat(2) told it.

    Attributes:
        changed_ns: st_ctime_ns: the kernel sets it at each change, and nobody can set it back.
    """

    path: str
    device: int
    inode: int
    size: int
    changed_ns: int
    sha256: str


def library_digest(path: str, note: Path | None = None) -> str:
    """Return the sha256 of a file in hex.

    Args:
        path: the file.
        note: where its digest is noted; None, and a note that cannot be read or is of another file
            or an older state of it, means to hash.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - no Path
        told = os.fstat(file.fileno())
        now = (path, told.st_dev, told.st_ino, told.st_size, told.st_ctime_ns)
        noted = _read(note) if note else None
        if noted is not None and msgspec.structs.astuple(noted)[:-1] == now:
            return noted.sha256
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if note:
        with suppress(CorralError):  # the next start hashes again
            write_atomically(note, msgspec.json.encode(_Note(*now, sha256=digest)), mode=0o600)
    return digest


def _read(note: Path) -> _Note | None:
    try:
        return msgspec.json.decode(note.read_bytes(), type=_Note)
    except (OSError, msgspec.MsgspecError):
        return None
