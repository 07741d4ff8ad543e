"""Whether a registry's manifest names the bytes that arrived, found without parsing it.

Trust: operator side. Input: the manifest as the fetch job left it, hostile, at most 4 MiB. The job
chose the layer, and the job may have been taken over; but a manifest is only bytes with a digest,
and what it names stands in it as `"sha256:<hex>"`. So a job can choose nothing but what a pinned
manifest names.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.admission.fetch.wire import MANIFEST
from corral.admission.sealing import open_fetched_file
from corral.core.errors import CorralError
from corral.core.ids import Digest

_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class KeptManifest:
    """A manifest's bytes, and their digest as we found it."""

    raw: bytes
    digest: Digest

    def check_names(self, blob: Digest) -> None:
        """Refuse a blob that does not stand in the manifest.

        Raises:
            CorralError: code `hash_mismatch`.
        """
        if f'"sha256:{blob}"'.encode() not in self.raw:
            raise CorralError("hash_mismatch", "the registry's manifest does not name these bytes")


def read_manifest(folder: Path) -> KeptManifest:
    """Return the manifest that a fetch job left.

    Raises:
        CorralError: code `fetch_failed`.
    """
    fd = open_fetched_file(folder, MANIFEST)
    with os.fdopen(fd, "rb") as file:
        raw = file.read(_BYTES + 1)
    if len(raw) > _BYTES:
        raise CorralError("fetch_failed", "the fetch job left no manifest")
    return KeptManifest(raw, Digest(hashlib.sha256(raw).hexdigest()))
