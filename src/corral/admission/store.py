"""The content-addressed store: `HOME/store/sha256/<digest>`, read-only blobs, each written once.

Trust: operator side, the only writer. A blob enters by one rename of a complete, synced file.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path

from corral.admission.trusted_model import Admitted
from corral.core.home import Home
from corral.core.ids import Digest
from corral.pki.atomic import sync_folder


def store_blob(home: Home, admitted: Admitted, quarantined: Path) -> None:
    """Move an admitted blob into the store; one that is there already stays as it is.

    The caller holds `store_lock`.
    """
    home.blobs.mkdir(mode=0o755, parents=True, exist_ok=True)
    target = home.blob(admitted.digest)
    if target.exists() and target.stat().st_size == quarantined.stat().st_size:
        quarantined.unlink()
        return
    quarantined.replace(target)
    sync_folder(home.blobs)


def remove_blob(home: Home, digest: Digest) -> None:
    """Delete a blob that no model uses any more; the caller holds `store_lock`.

    A worker that has it open keeps its own view until it ends.
    """
    home.blob(digest).unlink(missing_ok=True)
    sync_folder(home.blobs)


def sweep_blobs(home: Home, used: AbstractSet[str]) -> int:
    """Delete every blob that is not in `used` and return their number; holds `store_lock`."""
    if not home.blobs.is_dir():
        return 0
    unused = [path for path in home.blobs.iterdir() if path.name not in used]
    for path in unused:
        path.unlink(missing_ok=True)
    return len(unused)
