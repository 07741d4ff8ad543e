"""The folder of what is not admitted: names in it, and the sweep of what crashes left there.

Trust: operator side. Input: contents written by fetch jails are hostile; they are removed without
following links.

    quarantine/fetch-<hash of source>/   a fetch jail's folder: model, wheel, *.part
    quarantine/set-<hash of source>/     parts of a model that have come while others have not
    quarantine/blobs/<digest>            sealed copies on their way through scan and trial
    quarantine/scan-<random>/            what a scan is shown, for as long as it runs
    quarantine/ask-<random>/             a fetch jail's folder that only asks what there is
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from corral.admission.lock import store_lock, try_pull_lock
from corral.admission.scan_folder import SCAN_PREFIX, is_abandoned, remove_abandoned
from corral.admission.source import RemoteSource, source_folder
from corral.admission.store import sweep_blobs
from corral.admission.trust_marks import used_blobs, write_trust_marks
from corral.core.home import Home

_PART_SECONDS: Final = 7 * 24 * 3600
_ASK_SECONDS: Final = 3600


def blobs_folder(home: Home) -> Path:
    """Return the folder of sealed copies."""
    return home.quarantine / "blobs"


def set_folder(first: RemoteSource) -> str:
    """Return the folder of the parts of a model (`admission.kept_parts`), by its first part."""
    return "set-" + source_folder(first).removeprefix("fetch-")


def kept_bytes(home: Home, name: str, part: RemoteSource) -> int:
    """Return the length of a part that an interrupted pull has kept in its folder, or 0."""
    with suppress(OSError):
        return (home.quarantine / name / source_folder(part)).lstat().st_size
    return 0


def remove_folder(home: Home, name: str) -> None:
    """Delete a folder of the quarantine with all that is in it, if it is there."""
    with suppress(FileNotFoundError):
        shutil.rmtree(home.quarantine / name)


def partial_bytes(home: Home, name: str) -> int:
    """Return how much of a file an interrupted fetch has left in its folder."""
    with suppress(OSError):
        return sum(
            min(path.lstat().st_size, path.lstat().st_blocks * 512)  # parts may lie behind gaps
            for path in (home.quarantine / name).iterdir()
            if path.suffix == ".part"
        )
    return 0


def sweep_quarantine(home: Home) -> None:
    """Remove what no running pull will use: half-way blobs, old partial downloads, stray blobs.

    Does nothing to the quarantine while a pull runs. What cannot be removed now stays for the next
    sweep: a leftover is not a reason to refuse service.

    Raises:
        CorralError: code `database_unavailable`: without it nobody knows what is in use.
    """
    with try_pull_lock(home) as free:
        if free:
            sweep_locked(home)


def sweep_locked(home: Home) -> None:
    """Do the work of `sweep_quarantine`; the caller holds the pull lock."""
    sweep_folders(home)
    with store_lock(home):
        sweep_blobs(home, used_blobs(home))
        write_trust_marks(home)


def sweep_folders(home: Home) -> None:
    """Remove the folders and files of the quarantine that nobody will use; holds the pull lock."""
    now_s = time.time()
    for path in home.quarantine.iterdir():
        with suppress(OSError):
            if path.is_symlink() or not path.is_dir():
                if path.name not in {".lock", ".store-lock"}:
                    path.unlink()
            elif path.name.startswith(SCAN_PREFIX):
                remove_abandoned(path)
            elif _is_stale(path, now_s):
                shutil.rmtree(path)


def leftovers(home: Home) -> list[Path]:
    """Return what a sweep would take away; the caller holds the pull lock."""
    now_s = time.time()
    found: list[Path] = []
    for path in sorted(home.quarantine.iterdir() if home.quarantine.is_dir() else ()):
        with suppress(OSError):
            plain = path.is_symlink() or not path.is_dir()
            if plain and path.name in {".lock", ".store-lock"}:
                continue
            if plain or (_is_stale(path, now_s) and any(path.iterdir())):
                found.append(path)
    return found


def collect_garbage(home: Home) -> tuple[str, ...]:
    """Remove what no model uses: blobs by reference, and leftovers unless a pull runs.

    Returns:
        The names of the blobs.

    Raises:
        CorralError: code `database_unavailable`: without it nobody knows what is in use.
    """
    with try_pull_lock(home) as free:
        if free:
            sweep_folders(home)
    # A pull puts blob and row into the store under one lock: between the two nobody looks.
    with store_lock(home):
        removed = sweep_blobs(home, used_blobs(home))
        write_trust_marks(home)
    return removed


def _is_stale(folder: Path, now_s: float) -> bool:
    if folder.name.startswith(SCAN_PREFIX):
        return is_abandoned(folder)
    if folder.name.startswith("ask-"):
        return now_s - folder.stat().st_mtime > _ASK_SECONDS
    if folder.name.startswith(("fetch-", "set-")):
        ages_s = [
            now_s - path.lstat().st_mtime
            for path in folder.iterdir()
            if path.suffix == (".part" if folder.name.startswith("fetch-") else ".json")
        ]
        return not ages_s or min(ages_s) > _PART_SECONDS
    return True
