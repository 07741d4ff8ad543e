"""Put an installation back from a backup: all of it is verified before anything is replaced.

Trust: operator side. Input: a file that anybody may have written.

    1 open      into a file without a name beside the state folder: to its end, or nothing is read
    2 unpack    below a new folder beside the state folder, each file against the manifest
    3 database  SQLite's own check, and a schema that this version knows
    4 replace   the old folder gets another name, the new one its name; nothing is deleted

Source of 1: a stream's pieces are each authentic, but that it is whole is known at its end only.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from corral.backup.archive import Manifest, unpack
from corral.backup.contents import DATABASE
from corral.backup.lockbox import Opener, open_stream
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.atomic import sync_folder
from corral.state.revision import HEAD


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back.

    Attributes:
        manifest: of the backup.
        aside: where the old state folder is now; None if there was none.
    """

    manifest: Manifest
    aside: Path | None


def restore_backup(
    home: Home,
    place: Path,
    opener: Opener,
    *,
    replace: bool = False,
    verified: Callable[[Home], None] = lambda _: None,
) -> Restored:
    """Put the installation of a backup at the place of `home`; on any failure nothing is changed.

    Args:
        home: where to; absent, empty, or with `replace` anything.
        place: the backup.
        opener: what opens it.
        replace: move what is there aside, to `HOME.before-restore-TIME`.
        verified: called with the verified installation at its temporary place, before it takes the
            place of `home`; what it raises ends the restore.

    Raises:
        CorralError: codes `restore_home_exists`, `restore_server_running`, `restore_failed`,
            `backup_unreadable`, `backup_wrong_key`, `backup_damaged`, `backup_content`,
            `backup_database`, `database_newer`.
    """
    root = home.root
    if not replace and root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise CorralError(
            "restore_home_exists",
            "there is something at the place of the state folder",
            remedy="restore to another place with --home, or move this one aside: --replace",
        )
    try:
        with _no_server(home):
            root.parent.mkdir(parents=True, exist_ok=True)
            stage = Path(tempfile.mkdtemp(prefix=f".{root.name[:100]}.restoring-", dir=root.parent))
            try:
                manifest = _verified(place, opener, stage)
                verified(Home(stage))
                return Restored(manifest, _put_in_place(stage, root))
            finally:
                shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        raise CorralError(
            "restore_failed",
            "the folder beside the state folder cannot be written, or the backup not be read",
            remedy="look at the space and who owns both; a mount point cannot be replaced: "
            "restore to another place with --home",
        ) from error


def _verified(place: Path, opener: Opener, stage: Path) -> Manifest:
    with tempfile.TemporaryFile(dir=stage) as plain:
        try:
            file = place.open("rb")
        except (FileNotFoundError, IsADirectoryError) as error:
            raise CorralError("backup_unreadable", "there is no such backup") from error
        with file:
            open_stream(file, plain, opener)
        plain.seek(0)
        manifest = unpack(plain, stage)
    _check_database(stage / DATABASE)
    for folder, _, _ in os.walk(stage):
        sync_folder(Path(folder))
    return manifest


def _check_database(path: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as found:
            found.execute("PRAGMA trusted_schema = OFF")
            whole = found.execute("PRAGMA integrity_check(1)").fetchall() == [("ok",)]
            rows = (
                found.execute("SELECT version_num FROM alembic_version").fetchall() if whole else []
            )
    except sqlite3.Error:
        rows = []
    if len(rows) != 1 or not re.fullmatch(r"[0-9]{4}", str(rows[0][0])):
        raise CorralError(
            "backup_database", "the database in the backup is damaged; nothing of it is used",
            remedy="take another backup",
        )  # fmt: skip
    if str(rows[0][0]) > HEAD:
        raise CorralError(
            "database_newer", "the database was written by another version of corral",
            remedy="install that version or a newer one",
        )  # fmt: skip


@contextmanager
def _no_server(home: Home) -> Iterator[None]:
    """Hold the server's lock, so that none starts on the folder that is about to go."""
    try:
        fd = os.open(home.lock_file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        yield
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CorralError(
                "restore_server_running", "a corral server runs on this state folder",
                remedy="stop it: corral stop",
            ) from error  # fmt: skip
        yield
    finally:
        os.close(fd)


def _put_in_place(stage: Path, root: Path) -> Path | None:
    aside = None
    if os.path.lexists(root) and not (root.is_dir() and not any(root.iterdir())):
        named = f"{root.name}.before-restore-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        names = (named if not n else f"{named}-{n}" for n in count())
        aside = next(p for n in names if not os.path.lexists(p := root.with_name(n)))
        root.rename(aside)
    try:
        stage.rename(root)
    except OSError:
        if aside is not None:
            aside.rename(root)
        raise
    sync_folder(root.parent)
    return aside
