"""Make a backup of an installation, beside its running server.

Trust: operator side. Input: the state folder. The database is copied first, in one step of SQLite's
backup API, which is one snapshot and makes no writer wait (the database is in WAL mode); each log
then holds at least what the copy names. A file is read twice, for its digest and into the backup:
one that is not the same both times ends the backup; only the logs may grow.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sqlite3
import stat
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO, Final

from corral import __version__
from corral.backup.archive import Entry, Manifest, pack
from corral.backup.contents import DATABASE, list_contents, open_content
from corral.backup.lockbox import Lock, lock_stream
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.atomic import sync_folder
from corral.state.connection import open_reader, unavailable

_BLOCK: Final = 1 << 20
_COPY: Final = ".backup-"
_TAIL: Final = 1 << 17
"""More than the longest line of the journal."""


def write_backup(
    home: Home, place: Path, lock: Lock, *, models: bool = False, force: bool = False
) -> Manifest:
    """Write a backup and return what is in it; on any failure there is none.

    Args:
        home: state folder of an installation.
        place: the file to make, 0600.
        lock: what opens it again.
        models: also the models' bytes.
        force: replace a file that is there.

    Raises:
        CorralError: codes `backup_exists`, `backup_not_written`, `backup_changed`,
            `backup_unsafe_file`, `database_unavailable`, `database_unsafe`.
    """
    _refuse_existing(place, force=force)
    temporary = place.with_name(f".{place.name[:200]}.{secrets.token_hex(8)}.new")
    try:
        with _snapshot(home) as database:
            manifest = _manifest(home, database, models=models)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                lock_stream(pack(manifest, lambda e: _opened(home, database, e)), file, lock)
                os.fsync(file.fileno())
        _refuse_existing(place, force=force)
        temporary.replace(place)
        sync_folder(place.parent)
    except OSError as error:
        raise CorralError(
            "backup_not_written",
            "the backup cannot be written, or a file of the installation not be read",
            remedy="look at the disk's space and who owns the state folder and the backup's",
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return manifest


def _refuse_existing(place: Path, *, force: bool) -> None:
    if os.path.lexists(place) and not (force and place.is_file() and not place.is_symlink()):
        raise CorralError(
            "backup_exists",
            "there is a file of that name",
            remedy="choose another name, or replace that file: --force",
        )


def _snapshot(home: Home) -> BinaryIO:
    """Return a copy of the database that has no name any more."""
    for left in home.root.glob(f"{_COPY}*"):
        shutil.rmtree(left, ignore_errors=True)  # of a backup that was killed
    folder = Path(tempfile.mkdtemp(prefix=_COPY, dir=home.root))
    try:
        copy = folder / "corral.db"
        with (
            closing(open_reader(home.database)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target, pages=-1)
            target.execute("PRAGMA journal_mode = DELETE")
        return copy.open("rb")
    except sqlite3.Error as error:
        raise unavailable() from error
    finally:
        shutil.rmtree(folder)


def _opened(home: Home, database: BinaryIO, entry: Entry) -> BinaryIO:
    if entry.path != DATABASE:
        return open_content(home, entry.path)
    copy = os.dup(database.fileno())
    os.lseek(copy, 0, os.SEEK_SET)  # of both; the buffer of the first is not used any more
    return os.fdopen(copy, "rb")


def _manifest(home: Home, database: BinaryIO, *, models: bool) -> Manifest:
    files = [_entry(DATABASE, database, 0o600)]
    for path in list_contents(home, models=models):
        with open_content(home, path) as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o755
            files.append(_entry(path, file, mode))
    return Manifest(
        format=1, corral=__version__, made_at=int(time.time()), models=models, files=tuple(files)
    )


def _entry(path: str, file: BinaryIO, mode: int) -> Entry:
    digest, size = hashlib.sha256(), 0
    left = _end(path, file.fileno())
    while left and (block := file.read(min(left, _BLOCK))):
        digest.update(block)
        size += len(block)
        left -= len(block)
    return Entry(path=path, size=size, sha256=digest.hexdigest(), mode=mode)


def _end(path: str, fd: int) -> int:
    """Return how many bytes of a file are in: what is added to a log from now on is not."""
    size = os.fstat(fd).st_size
    if not path.startswith("journal/"):
        return size  # the audit log tells a line that was being written from a fault by itself
    tail = os.pread(fd, _TAIL, max(0, size - _TAIL))
    return size - len(tail) + tail.rfind(b"\n") + 1
