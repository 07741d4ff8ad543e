"""`HOME/store/rotten`: blobs whose content is no longer what was admitted, and their receipts.

Trust: operator side. Nothing here is ever loaded; it is kept so that somebody can find out what
happened to the file.

    rotten/<digest>.<n>                 the file, mode 0400
    rotten/<digest>.<n>.<model>.json    receipt and signature of a name that it had
"""

from __future__ import annotations

import base64
import hashlib
import os
from contextlib import suppress
from pathlib import Path

import msgspec
from sqlalchemy import delete, or_

from corral.admission.journal import note_removal
from corral.admission.lock import store_lock
from corral.admission.store import is_digest
from corral.admission.trust_marks import write_trust_marks
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest, parse_model_name
from corral.pki.atomic import sync_folder, write_atomically
from corral.state.database import open_database, writing
from corral.state.tables import models


def rotten_folder(home: Home) -> Path:
    """Return the folder of what rotted."""
    return home.blobs.parent / "rotten"


def set_aside(home: Home, digest: Digest, facts: os.stat_result) -> Path | None:
    """Move a blob out of the store, and its names out of the catalogue.

    The names go first: whatever ends this half-way, nothing serves the blob, and the next check
    finds it again as an orphan of wrong content.

    Args:
        home: state folder.
        digest: its name in the store.
        facts: of the file that was found to be another; no other file is moved.

    Returns:
        Where it lies now; None if the store has another file under that name, or none.
    """
    with store_lock(home):
        blob = home.blob(digest)
        try:
            if not os.path.samestat(blob.lstat(), facts):
                return None
        except FileNotFoundError:
            return None
        folder = rotten_folder(home)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = _free_place(folder, digest)
        statement = (
            delete(models)
            .where(or_(models.c.digest == digest, models.c.adapter == digest))
            .returning(models.c.name, models.c.digest, models.c.receipt, models.c.signature)
        )
        with writing(open_database(home.database)) as connection:
            for name, file, text, signature in connection.execute(statement).all():
                shown = _printable(name)
                kept = {"receipt": text, "signature": base64.b64encode(signature).decode()}
                receipt = place.with_name(f"{place.name}.{shown}.json")
                write_atomically(receipt, msgspec.json.encode(kept), mode=0o400)
                # What the journal has of a model is its file, also where the adapter has rotted.
                note_removal(home, shown, file if is_digest(file) else "", "fsck")
        blob.rename(place)
        place.chmod(0o400)
        sync_folder(home.blobs)
        sync_folder(folder)
        # No name of it is left, so its mark goes too; that needs no policy, which may be broken.
        home.trust_mark(digest).unlink(missing_ok=True)
        with suppress(CorralError):
            write_trust_marks(home)  # those of pairs that it was one of
    return place


def _printable(name: str) -> str:
    """Return a row's name; a hash of it if no model can have that, as it becomes a file's name."""
    try:
        return parse_model_name(name)
    except CorralError:
        return f"_{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _free_place(folder: Path, digest: Digest) -> Path:
    number = 1
    while (folder / f"{digest}.{number}").exists():
        number += 1
    return folder / f"{digest}.{number}"
