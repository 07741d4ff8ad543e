"""Is the store what its receipts say? Every blob is hashed again, and what rotted is set aside.

Trust: operator side. Input: files that only the operator's uid should have written, and that a bad
disk or a stranger with root may have changed; rows that the gateway's zone can write.

    1 rows       receipts that do not verify; blobs that are missing
    2 blobs      kind, owner, mode, links; content against the name, by the descriptor that was
                 checked; files that no row names, or that are no blobs at all
    3 marks      trust levels that are not those of the receipts; the policy, if it is not the one
                 that was installed
    4 leftovers  copies and downloads that were never finished, while no pull runs

What rotted is moved to `HOME/store/rotten` with the receipts of the names that it had, under the
store lock and only if it is still the very file that was hashed; the names are gone then, so that
nothing can start it. Everything else is only told.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import select

from corral.admission.lock import store_lock, try_pull_lock
from corral.admission.progress import Progress, no_progress
from corral.admission.quarantine import leftovers
from corral.admission.receipt import Receipt, read_receipt
from corral.admission.rotten import set_aside
from corral.admission.sealing import BLOB_MODE, hash_file
from corral.admission.store import is_digest, verity_marks
from corral.admission.trust_marks import held_blobs, wrong_marks
from corral.admission.verity_unsafe import measure_verity
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from corral.state.database import open_database, reading
from corral.state.tables import models

Kind = Literal[
    "rotten", "missing", "receipt", "receipt_outdated", "orphan", "half_written", "not_a_blob",
    "mode", "owner", "links", "size", "unreadable", "trust_mark", "verity", "policy",
]  # fmt: skip
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LARGEST: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is not as it should be.

    Attributes:
        where: digest, name of a model, or path below the state folder; printable.
        models: names that the blob had.
        moved_to: where what rotted lies now, below the state folder; empty if nothing was moved.
    """

    kind: Kind
    where: str
    message: str
    models: tuple[str, ...] = ()
    moved_to: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check.

    Attributes:
        blobs: how many were hashed.
        size_bytes: of them all.
    """

    blobs: int
    size_bytes: int
    troubles: tuple[Trouble, ...]


def check_store(home: Home, *, progress: Progress = no_progress) -> Checked:
    """Check everything; what rotted is set aside.

    Args:
        home: state folder, initialised.
        progress: stage `check`, with the bytes hashed.

    Raises:
        CorralError: codes `database_unavailable`, `receipt_key_unreadable`, `receipt_key_missing`.
    """
    return _Check(home, progress).run()


class _Check:
    def __init__(self, home: Home, progress: Progress) -> None:
        self._home = home
        self._progress = progress
        self._troubles: list[Trouble] = []
        self._blobs = self._bytes = self._total = 0
        self._names: dict[str, list[str]] = {}
        self._sizes: dict[str, int] = {}

    def run(self) -> Checked:
        # 1
        self._rows()
        # 2
        folder = _open_folder(self._home.blobs)
        if folder is not None:
            try:
                entries = sorted(os.listdir(folder))  # noqa: PTH208  of a descriptor
                self._total = sum(_size(folder, name) for name in entries)
                for name in entries:
                    self._entry(folder, name)
            finally:
                os.close(folder)
            self._missing(frozenset(entries))
        else:
            self._missing(frozenset())
        # 3
        self._marks()
        # 4
        self._leftovers()
        return Checked(self._blobs, self._bytes, tuple(self._troubles))

    def _tell(self, kind: Kind, where: str, message: str) -> None:
        names = tuple(sorted(self._names.get(where, ())))
        self._troubles.append(Trouble(kind, where, message, names))

    def _rows(self) -> None:
        try:
            read = read_receipt(self._home.receipt_public_key.read_bytes())
        except OSError as error:
            raise CorralError(
                "receipt_key_missing", "the key that verifies admission receipts is gone"
            ) from error
        statement = select(
            models.c.name, models.c.digest, models.c.adapter, models.c.receipt, models.c.signature
        ).order_by(models.c.name)
        with reading(open_database(self._home.database)) as connection:
            rows = connection.execute(statement).all()
        for name, digest, adapter, text, signature in rows:
            receipt = read(text, signature)
            signed = receipt.blobs if isinstance(receipt, Receipt) and receipt.name == name else ()
            # A column may be anything, a path of somebody's choice too: what is no digest is told
            # as trouble with the receipt, and is no name of a file here.
            for blob in {*filter(is_digest, (digest, adapter)), *(blob for blob, _ in signed)}:
                self._names.setdefault(blob, []).append(name)
            if receipt == "receipt_outdated":
                message = "this version does not read the receipt of this name: pull it again"
                self._tell("receipt_outdated", _shown(name), message)
            elif not signed:
                self._tell("receipt", _shown(name), "the receipt of this name does not verify")
            elif [blob for blob, _ in signed] != [digest, *([] if adapter is None else [adapter])]:
                message = "the row of this name says something else than its receipt"
                self._tell("receipt", _shown(name), message)
            else:
                self._sizes.update(signed)

    def _entry(self, folder: int, name: str) -> None:
        where = f"store/sha256/{_shown(name)}"
        if not is_digest(name):
            kind: Kind = "half_written" if name.startswith(".new-") else "not_a_blob"
            self._tell(kind, where, "the file is no blob of the store")
            return
        try:
            fd = os.open(name, _FLAGS, dir_fd=folder)
        except FileNotFoundError:
            return  # removed a moment ago
        except OSError:
            self._tell("unreadable", name, "the blob cannot be opened, or is a link")
            return
        try:
            self._blob(fd, name)
        finally:
            os.close(fd)

    def _blob(self, fd: int, name: str) -> None:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            self._tell("not_a_blob", name, "the blob is not a regular file")
            return
        if name not in self._names:
            self._tell("orphan", name, "no model has this blob: corral fsck --gc removes it")
        if stat.S_IMODE(facts.st_mode) != BLOB_MODE:
            mode = f"{stat.S_IMODE(facts.st_mode):04o}"
            self._tell("mode", name, f"the mode is {mode}, not {BLOB_MODE:04o}")
        if facts.st_uid != os.geteuid():
            self._tell("owner", name, f"the owner is uid {facts.st_uid}, not {os.geteuid()}")
        if facts.st_nlink > 1:
            self._tell("links", name, "the blob has another name outside of the store")
        if _noted_measure(self._home, name) not in {"", measure_verity(fd)}:
            self._tell("verity", name, "the kernel no longer seals the file that was admitted")
        size_bytes = self._sizes.get(name, facts.st_size)
        if size_bytes != facts.st_size:
            self._tell("size", name, f"{facts.st_size} bytes, not {size_bytes}")
        before = self._bytes
        try:
            found = hash_file(fd, max_bytes=_LARGEST, moved=self._moved(before))
        except CorralError:
            self._tell("unreadable", name, "the disk cannot read the blob")
            found = Digest("")
        self._blobs += 1
        self._bytes = before + facts.st_size
        if found != name:
            self._rotten(name, os.fstat(fd))

    def _moved(self, before: int) -> Callable[[int, int], None]:
        return lambda done, _: self._progress("check", before + done, self._total)

    def _rotten(self, name: str, facts: os.stat_result) -> None:
        place = set_aside(self._home, Digest(name), facts)
        if place is None:
            return  # removed or replaced while it was read: not what anybody would load
        names = tuple(sorted(self._names.pop(name, ())))
        moved = str(place.relative_to(self._home.root))
        message = "the content is not what the name says: pull it again"
        self._troubles.append(Trouble("rotten", name, message, names, moved))

    def _marks(self) -> None:
        try:
            with store_lock(self._home):
                wrong = wrong_marks(self._home)
        except CorralError as error:
            if not error.code.startswith("policy_"):
                raise
            self._tell("policy", "policy/standing.toml", f"{error.message} ({error.code})")
            return
        for name, message in wrong:
            self._tell("trust_mark", f"store/trust/{_shown(name)}", message)

    def _missing(self, there: frozenset[str]) -> None:
        for digest in sorted(self._names):
            places = (self._home.blob(Digest(digest)), held_blobs(self._home) / digest)
            if digest not in there and not any(place.exists() for place in places):
                self._tell("missing", digest, "the blob of an admitted model is not there")

    def _leftovers(self) -> None:
        with try_pull_lock(self._home) as free:
            for path in leftovers(self._home) if free else ():
                where = _shown(str(path.relative_to(self._home.root)))
                self._tell("half_written", where, "a pull or scan has left this")


def _open_folder(path: Path) -> int | None:
    try:
        return os.open(path, _FLAGS | os.O_DIRECTORY)
    except OSError:
        return None


def _noted_measure(home: Home, name: str) -> str:
    try:
        return (verity_marks(home) / name).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _size(folder: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
    except OSError:
        return 0


def _shown(name: str) -> str:
    return name.encode("unicode_escape", "surrogateescape").decode("ascii", "replace")[:200]
