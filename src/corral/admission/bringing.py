"""Bring a file of a source into quarantine, as a private copy that we hashed.

Trust: operator side. Input: the operator's source; what arrives is hostile and is not looked into.
Whatever fails leaves nothing, except the partial download of a broken connection.

    1 fetch        by a jail, into a folder of the source's own, or open the local file; or take
                   from the store what another pull has brought from this source meanwhile
    2 quarantine   private copy, hashed by us while the rest is still fetched
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from corral.admission.block_sharing import shares_blocks
from corral.admission.expectation import Expectation
from corral.admission.fetch.client import fetch_source
from corral.admission.fetch.wire import MODEL, PART, Told
from corral.admission.growing_copy import GrowingCopy
from corral.admission.inquiry import inquire
from corral.admission.landing import Landing, landed_since
from corral.admission.manifest_proof import KeptManifest, read_manifest
from corral.admission.progress import Progress
from corral.admission.provenance import Provenance
from corral.admission.quarantine import blobs_folder, partial_bytes, remove_folder
from corral.admission.registry_source import RegistrySource
from corral.admission.sealing import SealedBlob, open_fetched_file, open_local_file, seal_copy
from corral.admission.source import LocalSource, RemoteSource, Source, source_folder
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest


@dataclass(frozen=True, slots=True)
class Brought:
    """A file in quarantine.

    Attributes:
        fetched_at: Unix seconds.
        manifest: of a registry; the caller looks whether it names the blob.
        shared: another pull fetched it.
        validator: by which its server knows the version again, as the job says; empty if by none.
    """

    provenance: Provenance
    fetched_at: int
    blob: SealedBlob
    manifest: KeptManifest | None = None
    shared: bool = False
    validator: str = ""


def is_resumable(error: BaseException) -> bool:
    """Return whether the next pull may go on where this one was."""
    broken = isinstance(error, CorralError) and error.code == "network_error"
    return broken or isinstance(error, KeyboardInterrupt)


@dataclass(frozen=True, slots=True)
class Bringer:
    """Brings files; the caller holds the pull lock.

    Attributes:
        since: downloads of other pulls from this number on may be shared.
    """

    home: Home
    config: Config
    launcher: LauncherClient
    progress: Progress
    since: int

    def bring(self, source: Source, expect: Expectation) -> Brought:
        """Return a file of a source, in quarantine; the caller removes it from there.

        Args:
            source: where it is.
            expect: what is demanded of it, so that another one is refused early.

        Raises:
            CorralError: codes of `open_local_file`, `seal_copy`, `fetch_source`, `read_manifest`.
        """
        if isinstance(source, LocalSource):
            blob = self._copy(open_local_file(source.path))
            return Brought(Provenance(str(source)), int(time.time()), blob)
        landing = landed_since(self.home, source, self.since)
        shared = self._shared(landing, expect) if landing else None
        return shared or self._fetched(source, expect)

    def _shared(self, landing: Landing, expect: Expectation) -> Brought | None:
        demanded = expect.wheel_sha256, expect.manifest_sha256
        found = landing.wheel_sha256, landing.manifest_sha256
        if any(one not in {None, there} for one, there in zip(demanded, found, strict=True)):
            return None
        try:
            blob = self._copy(open_local_file(self.home.blob(Digest(landing.digest))))
        except CorralError:
            return None  # it was removed meanwhile
        if blob.digest != landing.digest:
            blob.path.unlink()
            return None
        return Brought(landing.provenance, landing.fetched_at, blob, shared=True)

    def _fetched(self, source: RemoteSource, expect: Expectation) -> Brought:
        name, resumable = source_folder(source), False
        try:
            return self._fetch(source, expect, self.home.quarantine / name)
        except BaseException as error:
            resumable = is_resumable(error)
            raise
        finally:
            if not (resumable and partial_bytes(self.home, name)):
                remove_folder(self.home, name)

    def _fetch(self, source: RemoteSource, expect: Expectation, folder: Path) -> Brought:
        max_bytes = self.config.fetch.max_bytes
        with GrowingCopy(folder / PART, blobs_folder(self.home), max_bytes) as copy:
            # 1, and 2 as far as the beginning of the file has come
            arrived = fetch_source(
                source,
                config=self.config.fetch,
                expect=expect,
                launcher=self.launcher,
                progress=self.progress,
                ready=copy.follow,
                copied=not shares_blocks(self.home.quarantine),
            )
            fd = open_fetched_file(folder, MODEL)
            try:
                registry = isinstance(source, RegistrySource)
                manifest = read_manifest(folder) if registry else None
                # 2
                blob = copy.seal(fd, Digest(arrived.sha256), self._copied)
            finally:
                os.close(fd)
        provenance = Provenance(
            str(source),
            arrived.final_url,
            arrived.wheel_sha256,
            arrived.revision,
            manifest.digest if manifest else "",
            arrived.layers,
        )
        return Brought(provenance, int(time.time()), blob, manifest, validator=arrived.validator)

    def ask(self, source: RemoteSource, expect: Expectation) -> tuple[Told, KeptManifest | None]:
        """Return what the servers say of a source now, and a registry's manifest.

        Raises:
            CorralError: codes of `inquire`.
        """
        return inquire(
            source,
            home=self.home,
            config=self.config.fetch,
            expect=expect,
            launcher=self.launcher,
        )

    def _copy(self, fd: int) -> SealedBlob:
        try:
            return seal_copy(
                fd,
                blobs_folder(self.home),
                max_bytes=self.config.fetch.max_bytes,
                moved=self._copied,
            )
        finally:
            os.close(fd)

    def _copied(self, done_bytes: int, total_bytes: int) -> None:
        self.progress("copy", done_bytes, total_bytes)
