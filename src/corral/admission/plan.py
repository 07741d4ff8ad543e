"""What a pull would do, found without doing it: for `corral pull --dry-run`.

Trust: operator side. Input: the operator's source and demands; what the servers say of it, which
is a claim. Nothing is changed: the fetch jail that asks writes into a folder that is gone at the
end, and what a broken pull left for the next one is not touched.

    1 signature   if one is demanded: fetched or read, and verified, as by a pull
    2 ask         the servers, in the fetch jail; or hash the local file
    3 compare     with demands, advisories, catalog, store and disk
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from corral.admission.admitting import passed
from corral.admission.catalog_changes import check_name
from corral.admission.denied import denied_as_held
from corral.admission.expectation import Expectation
from corral.admission.inquiry import inquire
from corral.admission.lock import pull_lock
from corral.admission.policy.forecast import foresee
from corral.admission.policy.standing import read_standing
from corral.admission.progress import Progress, no_progress
from corral.admission.provenance import Provenance
from corral.admission.pull import prepare_pull
from corral.admission.quarantine import kept_bytes, partial_bytes, set_folder
from corral.admission.readmission import stored_admission
from corral.admission.sealing import (
    RESERVE_BYTES,
    hash_file,
    no_space,
    open_local_file,
    too_large,
)
from corral.admission.signature_fetch import SignatureFetch
from corral.admission.signing.cosign import SignedManifest
from corral.admission.signing.demand import SignatureDemand, verify_demand
from corral.admission.signing.signer import Signer
from corral.admission.source import LocalSource, RemoteSource, source_folder
from corral.admission.source_set import set_of
from corral.admission.trust_level import Trust
from corral.admission.trusted_model import begin
from corral.advisories.database import load_advisories
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest, ModelName

_COPIES: Final = 2
"""What arrives and the private copy of it are on the disk at once."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """What is known of one file before it is fetched; all of it is a claim of its servers.

    Attributes:
        source: canonical text.
        url: where it would be fetched from, without a query; empty for a local file.
        size_bytes: of the download, which is the wheel for `pypi://`; None if nobody says.
        sha256: of the model file; None if nobody says before it is there.
        wheel_sha256, manifest_sha256, revision: as in a receipt; empty if there is none.
        partial_bytes: what an interrupted pull has left of it.
    """

    source: str
    url: str = ""
    size_bytes: int | None = None
    sha256: Digest | None = None
    wheel_sha256: str = ""
    manifest_sha256: str = ""
    revision: str = ""
    partial_bytes: int = 0

    @property
    def provenance(self) -> Provenance:
        """Where the bytes would come from, as a receipt would say it."""
        return Provenance(
            self.source, self.url, self.wheel_sha256, self.revision, self.manifest_sha256
        )

    @property
    def host(self) -> str:
        """Name of the server, with its port if it is named; empty for a local file."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What a pull would do now.

    Attributes:
        files: what it would fetch.
        in_store: the store has the model, admitted by the checks of today.
        fetches: whether anything would be fetched or copied at all.
        trust: the level that the policy would give it if it passes; None where it would be refused,
            or where the policy wants to know more.
        waits_for: conditions of the policy whose facts are not known before the file is there.
        needed_bytes: of disk, at most; None if the size is not told.
        free_bytes: of the disk of the state folder.
        signers: whose demanded signatures were verified.
        refusal: why the pull would be refused, as far as that is known now.
    """

    name: ModelName
    files: tuple[PlannedFile, ...]
    in_store: bool
    fetches: bool
    trust: Trust | None
    waits_for: tuple[str, ...]
    needed_bytes: int | None
    free_bytes: int
    signers: tuple[Signer, ...]
    refusal: CorralError | None


def plan_pull(
    source: str,
    *,
    home: Home,
    config: Config,
    launcher: LauncherClient,
    expect: Expectation,
    name: str | None = None,
    progress: Progress = no_progress,
    demand: SignatureDemand | None = None,
) -> PullPlan:
    """Return what `pull_model` would do with the same arguments.

    Raises:
        CorralError: what a pull meets before it fetches: codes of `prepare_pull`, `inquire`,
            `open_local_file`, `verify_demand`, `load_advisories`, `read_standing`.
    """
    place, model, expect = prepare_pull(source, name, expect)
    known_bad = load_advisories(home)
    # 1
    signed = None
    if demand is not None:
        # The signature is fetched into the folder that a pull would use.
        with pull_lock(home, lambda done, total: progress("wait", done, total)):
            fetch = SignatureFetch(home, config, launcher)
            signed = verify_demand(demand, place, config, home.root, fetch)
    # 2
    progress("ask", 0, 0)
    places = set_of(place)
    wanted = [replace(expect, sha256=one, parts=()) for one in expect.parts or ()] or (
        [expect] if len(places) == 1 else [replace(expect, sha256=None)] * len(places)
    )
    kept = "" if isinstance(place, LocalSource) else set_folder(place)
    files = tuple(
        _hashed(one, config, progress)
        if isinstance(one, LocalSource)
        else _told(one, kept, home, config, demanded, launcher)
        for one, demanded in zip(places, wanted, strict=True)
    )
    # 3
    digest = expect.sha256 or (files[0].sha256 if len(files) == 1 else None)
    sizes = [file.size_bytes for file in files if file.size_bytes is not None]
    size_bytes = sum(sizes) if len(sizes) == len(files) else None
    in_store = stored_admission(home, Expectation(sha256=digest)) is not None
    signed_manifest = isinstance(signed, SignedManifest)
    fetches = signed_manifest or stored_admission(home, expect) is None
    needed_bytes = None if size_bytes is None else _needed(files) if fetches else 0
    disk = os.statvfs(home.quarantine)
    free_bytes = disk.f_bavail * disk.f_frsize
    signers = (signed.signer,) if signed else ()
    forecast = foresee(
        read_standing(home).policy,
        source=str(place),
        digest=digest,
        size_bytes=None if files[0].wheel_sha256 else size_bytes,
        evidence=expect.evidence(signature=signed is not None),
        signers=signers,
    )
    refusal: CorralError | None = None
    try:
        for one, file, demanded in zip(places, files, wanted, strict=True):
            known = file.sha256 or demanded.sha256
            name_of_file = demand.file_name(one) if demand else ""
            if known is not None:
                arrived = begin(file.provenance).quarantine(known, file.size_bytes or 0)
                passed(arrived.verify(demanded, known_bad, signed, name_of_file))
        if digest is not None:
            check_name(home, model, digest)
        if size_bytes is not None and size_bytes > config.fetch.max_bytes:
            raise too_large(config.fetch.max_bytes)
        if needed_bytes is not None and needed_bytes > free_bytes:
            raise no_space()
        if forecast.decision.outcome == "hold" and not forecast.waits_for:
            passed(denied_as_held(forecast.decision))
    except CorralError as error:
        refusal = error
    return PullPlan(
        name=model,
        files=files,
        in_store=in_store,
        fetches=fetches,
        trust=None if refusal else forecast.trust,
        waits_for=forecast.waits_for,
        needed_bytes=needed_bytes,
        free_bytes=free_bytes,
        signers=signers,
        refusal=refusal,
    )


def _hashed(source: LocalSource, config: Config, progress: Progress) -> PlannedFile:
    fd = open_local_file(source.path)
    try:
        size_bytes = os.fstat(fd).st_size
        digest = hash_file(
            fd,
            max_bytes=config.fetch.max_bytes,
            moved=lambda done, total: progress("hash", done, total),
        )
    finally:
        os.close(fd)
    return PlannedFile(str(source), size_bytes=size_bytes, sha256=digest)


def _told(
    source: RemoteSource,
    kept: str,
    home: Home,
    config: Config,
    expect: Expectation,
    launcher: LauncherClient,
) -> PlannedFile:
    told, manifest = inquire(
        source, home=home, config=config.fetch, expect=expect, launcher=launcher
    )
    if manifest is not None:
        manifest.check_names(Digest(told.sha256))
    return PlannedFile(
        source=str(source),
        url=told.final_url,
        size_bytes=None if told.size_bytes < 0 else told.size_bytes,
        sha256=Digest(told.sha256) if told.sha256 else None,
        wheel_sha256=told.wheel_sha256,
        manifest_sha256=manifest.digest if manifest else "",
        revision=told.revision,
        partial_bytes=partial_bytes(home, source_folder(source)) + kept_bytes(home, kept, source),
    )


def _needed(files: Sequence[PlannedFile]) -> int:
    total = sum(
        (_COPIES if file.url else 1) * (file.size_bytes or 0) - file.partial_bytes for file in files
    )
    # What is fetched of one part goes before the next; what is joined of them all is one more.
    joined = sum(file.size_bytes or 0 for file in files) if len(files) > 1 else 0
    return max(0, total + joined) + RESERVE_BYTES
