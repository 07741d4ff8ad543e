"""The content-addressed store: `HOME/store/sha256/<digest>`, read-only blobs, each written once.

Trust: operator side, the only writer. A blob enters by one rename of a complete, synced file.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeGuard

from corral.admission.sealing import BLOB_MODE, SealedBlob, identity_of
from corral.admission.verity_unsafe import enable_verity, measure_verity
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from corral.pki.atomic import sync_folder, write_atomically

if TYPE_CHECKING:
    from corral.admission.trusted_model import Admitted

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
"""Name of a blob."""
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def is_digest(value: object) -> TypeGuard[Digest]:
    """Return whether a value, of a database's column for example, has the form of a blob's name."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def verity_marks(home: Home) -> Path:
    """Return the folder of what the kernel measured of the blobs that fs-verity seals."""
    return home.blobs.parent / "verity"


def store_blob(home: Home, admitted: Admitted, sealed: SealedBlob) -> None:
    """Put an admitted blob into the store; it replaces what is there under its name.

    What is there may have rotted since it came; what comes was hashed and tried a moment ago. Only
    the file that was copied for this very admission stays, if nobody has touched it since: workers
    that have loaded it and those to come then share its pages in memory. The
    file is linked by its descriptor, after a look at whether it is the very one that was hashed,
    so that no name that somebody swaps decides what is stored. The caller holds `store_lock`.

    Raises:
        CorralError: code `blob_changed`.
    """
    home.blobs.mkdir(mode=0o755, parents=True, exist_ok=True)
    if sealed.digest not in admitted.digests:
        raise _changed()
    folder = os.open(home.blobs, _FLAGS | os.O_DIRECTORY)
    try:
        _link(home, sealed, folder, f".new-{os.urandom(8).hex()}")
        os.fsync(folder)
    finally:
        os.close(folder)
    sealed.path.unlink(missing_ok=True)


def _link(home: Home, sealed: SealedBlob, folder: int, new: str) -> None:
    try:
        fd = os.open(sealed.path, _FLAGS)
    except OSError as error:
        raise _changed() from error
    try:
        if identity_of(os.fstat(fd)) != sealed.identity:
            raise _changed()
        if _is_untouched(folder, sealed):
            return
        _seal_by_kernel(home, fd, sealed)
        # With a folder, Python follows the link in /proc, which stands for the descriptor's file.
        os.link(f"/proc/self/fd/{fd}", new, dst_dir_fd=folder)
    finally:
        os.close(fd)
    try:
        os.rename(new, sealed.digest, src_dir_fd=folder, dst_dir_fd=folder)
    except IsADirectoryError:
        aside = f".new-{os.urandom(8).hex()}"  # somebody's folder; swept later
        os.rename(sealed.digest, aside, src_dir_fd=folder, dst_dir_fd=folder)
        os.rename(new, sealed.digest, src_dir_fd=folder, dst_dir_fd=folder)


def _is_untouched(folder: int, sealed: SealedBlob) -> bool:
    """Return whether the store still has the file that was copied, and only we could write it."""
    if sealed.stored is None:
        return False
    try:
        facts = os.stat(sealed.digest, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    sound = (stat.S_IFREG | BLOB_MODE, os.geteuid(), 1)
    return (
        identity_of(facts) == sealed.stored
        and (facts.st_mode, facts.st_uid, facts.st_nlink) == sound
    )


def _seal_by_kernel(home: Home, fd: int, sealed: SealedBlob) -> None:
    """Enable fs-verity where the file system has it, and note what the kernel measured."""
    if enable_verity(fd):
        verity_marks(home).mkdir(mode=0o755, parents=True, exist_ok=True)
        measured = measure_verity(fd).encode()
        write_atomically(verity_marks(home) / sealed.digest, measured, mode=0o444)


def _changed() -> CorralError:
    return CorralError(
        "blob_changed",
        "the file changed in quarantine while it was admitted",
        remedy="find out who writes there, then pull again",
    )


def remove_blob(home: Home, digest: Digest) -> None:
    """Delete a blob that no model uses any more; the caller holds `store_lock`.

    A worker that has it open keeps its own view until it ends.

    Raises:
        CorralError: code `bad_digest`: it is none, and may be a path to somewhere else.
    """
    if not is_digest(digest):
        raise CorralError("bad_digest", "only a blob of the store is removed by its digest")
    home.blob(digest).unlink(missing_ok=True)
    (verity_marks(home) / digest).unlink(missing_ok=True)
    sync_folder(home.blobs)


def sweep_blobs(home: Home, used: AbstractSet[str]) -> tuple[str, ...]:
    """Delete every blob that is not in `used` and return their names; holds `store_lock`.

    What is no blob (a folder, a link that somebody put there) is taken away too.
    """
    if not home.blobs.is_dir():
        return ()
    unused = sorted(path.name for path in home.blobs.iterdir() if path.name not in used)
    for name in unused:
        path = home.blobs / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        (verity_marks(home) / name).unlink(missing_ok=True)
    if unused:
        sync_folder(home.blobs)
    return tuple(unused)
