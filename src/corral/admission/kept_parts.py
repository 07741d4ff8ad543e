"""Parts of a model that have come while others have not: kept, so that the next pull goes on.

Trust: operator side; jails are not shown this folder. Input: files that an earlier pull sealed, and
its notes. A note says only where a part came from: the part is hashed again before it is taken, and
its source is asked whether it still has that version.

    quarantine/set-<hash of source>/<hash of part>        the part
    quarantine/set-<hash of source>/<hash of part>.json   what is known of it, written after it
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from corral.admission.bringing import Bringer, Brought
from corral.admission.expectation import Expectation
from corral.admission.fetch.wire import Told
from corral.admission.manifest_proof import KeptManifest
from corral.admission.provenance import Provenance
from corral.admission.quarantine import remove_folder, set_folder
from corral.admission.sealing import SealedBlob, hash_file, identity_of, open_local_file
from corral.admission.source import LocalSource, RemoteSource, Source, source_folder
from corral.core.errors import CorralError
from corral.core.ids import Digest
from corral.pki.atomic import write_atomically

_NOTE_BYTES: Final = 4 << 20


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provenance: Provenance
    fetched_at: int
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    validator: str


class KeptParts:
    """What there is of one set; the caller holds the pull lock.

    Args:
        places: of all parts, in their order.
    """

    def __init__(self, bringer: Bringer, places: Sequence[Source]) -> None:
        self._bringer = bringer
        first = places[0]
        self._name = "" if isinstance(first, LocalSource) else set_folder(first)
        self._folder = bringer.home.quarantine / self._name

    def bring(self, place: Source, asked: Source, expect: Expectation) -> Brought:
        """Return a part, in quarantine: the one that was kept, or fetched now and kept.

        Args:
            place: the part.
            asked: the same, pinned to the manifest that the parts before it came by.
            expect: what is demanded of it.

        Raises:
            CorralError: codes of `Bringer.bring`, `Bringer.ask`; `state_write_failed`.
        """
        if isinstance(place, LocalSource) or isinstance(asked, LocalSource):
            return self._bringer.bring(asked, expect)
        known = self._known(place, asked, expect)
        return known or self._keep(place, self._bringer.bring(asked, expect))

    def remove(self) -> None:
        """Delete all of them."""
        if self._name:
            remove_folder(self._bringer.home, self._name)

    def _keep(self, place: RemoteSource, brought: Brought) -> Brought:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = brought.blob.path.replace(self._folder / source_folder(place))
        blob = replace(brought.blob, path=path)
        note = _Note(brought.provenance, brought.fetched_at, blob.digest, brought.validator)
        write_atomically(path.with_name(path.name + ".json"), msgspec.json.encode(note), mode=0o600)
        return replace(brought, blob=blob)

    def _known(
        self, place: RemoteSource, asked: RemoteSource, expect: Expectation
    ) -> Brought | None:
        path = self._folder / source_folder(place)
        try:
            with path.with_name(path.name + ".json").open("rb") as file:
                note = msgspec.json.decode(file.read(_NOTE_BYTES), type=_Note)
            fd = open_local_file(path)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, CorralError):
            return None
        try:
            facts = os.fstat(fd)
            if expect.sha256 not in {None, note.sha256}:
                return None
            told, manifest = self._bringer.ask(asked, expect)
            if not _is_same(note, told, manifest, facts.st_size):
                return None
            found = hash_file(
                fd, max_bytes=self._bringer.config.fetch.max_bytes, moved=self._hashed
            )
        finally:
            os.close(fd)
        if found != note.sha256:
            return None
        blob = SealedBlob(path, found, facts.st_size, identity_of(facts))
        return Brought(note.provenance, note.fetched_at, blob, manifest, validator=note.validator)

    def _hashed(self, done_bytes: int, total_bytes: int) -> None:
        self._bringer.progress("copy", done_bytes, total_bytes)


def _is_same(note: _Note, told: Told, manifest: KeptManifest | None, size_bytes: int) -> bool:
    """Return whether a source has the very version that was kept.

    By the digest that it names, of the file, of the wheel or of the manifest; else by ETag or date
    and length. A source that gives none of these is fetched again.
    """
    if manifest is not None:
        same_manifest = manifest.digest == note.provenance.manifest_sha256
        return same_manifest and Digest(told.sha256) == note.sha256
    if told.wheel_sha256 or note.provenance.wheel_sha256:
        return told.wheel_sha256 == note.provenance.wheel_sha256
    if told.sha256:
        return told.sha256 == note.sha256
    return bool(told.validator) and (told.validator, told.size_bytes) == (
        note.validator,
        size_bytes,
    )
