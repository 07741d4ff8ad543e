"""What pulls have just brought, so that one that waited for them need not fetch it again.

Trust: operator side. `HOME/run/landed.json` is written by the holder of the pull lock and read by
pulls that begin. What is in it says only where a blob of the store came from: who takes it hashes
it again and checks it by his own demands. A pull takes what was brought after it had begun, never
something older: the source may have changed since.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from corral.admission.layer import LayerClaim
from corral.admission.provenance import Provenance
from corral.admission.source import RemoteSource, source_folder
from corral.core.home import Home
from corral.core.ids import Digest
from corral.pki.atomic import write_atomically

_KEPT: Final = 32
_BYTES: Final = 4 << 20


class Landing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One download that was admitted.

    Attributes:
        number: they are counted.
        asked: stands for the exact source, without saying a credential in it.
        digest: of the blob in the store.
        fetched_at: Unix seconds.
    """

    number: int
    asked: str
    digest: str
    fetched_at: int
    source: str
    final_url: str
    wheel_sha256: str
    revision: str
    manifest_sha256: str
    layers: tuple[LayerClaim, ...]

    @property
    def provenance(self) -> Provenance:
        """Where the bytes came from."""
        return Provenance(
            self.source, self.final_url, self.wheel_sha256, self.revision, self.manifest_sha256,
            self.layers,
        )  # fmt: skip


class _Landed(msgspec.Struct, forbid_unknown_fields=True):
    next: int = 1
    last: tuple[Landing, ...] = ()


def next_landing(home: Home) -> int:
    """Return the number of the next download that will be noted."""
    return _read(home).next


def note_landing(
    home: Home, source: RemoteSource, provenance: Provenance, digest: Digest, fetched_at: int
) -> None:
    """Note a download that was admitted; the caller holds the pull lock.

    Raises:
        CorralError: code `state_write_failed`.
    """
    known = _read(home)
    new = Landing(
        known.next, source_folder(source), digest, fetched_at, provenance.source,
        provenance.final_url, provenance.wheel_sha256, provenance.revision,
        provenance.manifest_sha256, provenance.layers,
    )  # fmt: skip
    kept = _Landed(known.next + 1, (*known.last, new)[-_KEPT:])
    home.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(_path(home), msgspec.json.encode(kept), mode=0o600)


def landed_since(home: Home, source: RemoteSource, number: int) -> Landing | None:
    """Return the latest download of exactly this source from `number` on, or None."""
    asked = source_folder(source)
    found = [one for one in _read(home).last if one.asked == asked and one.number >= number]
    return found[-1] if found else None


def _read(home: Home) -> _Landed:
    # Whatever is wrong with it: then everything is fetched.
    try:
        with _path(home).open("rb") as file:
            return msgspec.json.decode(file.read(_BYTES), type=_Landed)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Landed()


def _path(home: Home) -> Path:
    return home.run / "landed.json"
