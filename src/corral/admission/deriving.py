"""Make a new model of an admitted one: the same bytes, with another template, an adapter or more.

Trust: operator side. Input: BASE and options are the operator's; template, adapter and projector
are hostile, and only ever parsed in jails. Whatever refuses, fails or is interrupted leaves nothing
behind, except the partial download of a broken connection.

    0 base         an admitted model that is not held back and not derived itself
    1 quarantine   private copies of its blob and of the template, hashed by us
    2 verify       the blob is what was admitted; no advisory names it or who signed it
    3 laid         adapter or projector: fetched, hashed, verified as a model is; scanned beside the
                   base
    4 to 8         as of any model (`admission.admitting`), with both; the template is examined in
                   the place of the model's own by the same checks, and refused where they refuse
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from corral.admission.admitting import Admitting, passed
from corral.admission.bringing import Bringer
from corral.admission.catalog import Catalog, CatalogEntry, entry_of
from corral.admission.catalog_changes import check_name
from corral.admission.derivation import Derivation, template_findings
from corral.admission.derivation import identity_of as artifact_of
from corral.admission.expectation import Expectation
from corral.admission.journal import Attempt, refusals_noted
from corral.admission.landing import next_landing
from corral.admission.lock import pull_lock
from corral.admission.policy.standing import read_standing
from corral.admission.progress import Progress, no_progress
from corral.admission.provenance import Provenance
from corral.admission.pull import prepare_pull
from corral.admission.quarantine import blobs_folder, sweep_locked
from corral.admission.receipt import Receipt, receipt_error
from corral.admission.scan.runner import Counterpart, Part, scan_sealed
from corral.admission.sealing import SealedBlob, identity_of, open_local_file, seal_copy
from corral.admission.signature_fetch import SignatureFetch
from corral.admission.signing.demand import SignatureDemand, verify_demand
from corral.admission.source_set import set_of
from corral.admission.template.normal import template_digest
from corral.admission.trial_loader import TrialLoader
from corral.admission.trusted_model import ScannedLaid, begin
from corral.advisories.database import Advisories, load_advisories
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest, ModelName, parse_model_name

_TEMPLATE_BYTES: Final = 2 << 20
"""A longer file is not even copied; what a template may have, the scan says."""


@dataclass(frozen=True, slots=True)
class WantedFile:
    """What the operator wants laid over a model: an adapter or a projector.

    Attributes:
        source: see `admission.source`; one file.
        expect: digests that must match.
        demand: who must have signed it; None demands no signature.
        scale: how strongly, in thousandths; None: it is a projector.
    """

    source: str
    expect: Expectation
    demand: SignatureDemand | None
    scale: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is added to a model.

    Attributes:
        template: file of the chat template; None: the base's own.
        laid: what to lay over the base; None: nothing.
    """

    template: Path | None = None
    laid: WantedFile | None = None


def derive_model(
    base: str,
    *,
    name: str,
    wanted: Wanted,
    home: Home,
    config: Config,
    launcher: LauncherClient,
    trial: TrialLoader,
    progress: Progress = no_progress,
    dry_run: bool = False,
) -> CatalogEntry:
    """Derive, check, try and admit a model.

    Args:
        base: name of an admitted model.
        name: of the new one.
        wanted: what is added to the base.
        home: state folder, initialised.
        config: effective configuration.
        launcher: starts the jails.
        trial: loads the model once.
        progress: called on the way.
        dry_run: do everything but the last step, and keep nothing.

    Returns:
        The new catalog entry; with `dry_run` the one that would be.

    Raises:
        CorralError: codes `nothing_added`, `no_such_model`, `model_held`, `derived_base`; else the
            code says which stage refused.
    """
    if wanted.template is None and wanted.laid is None:
        raise CorralError(
            "nothing_added", "a model is derived with a template, an adapter or a projector"
        )
    model, since = parse_model_name(name), next_landing(home)
    with pull_lock(home, lambda done, total: progress("wait", done, total)), ExitStack() as stack:
        attempt = Attempt()
        if not dry_run:
            source = f"derived:{base}"
            attempt = stack.enter_context(refusals_noted(home, source, model, how="derive"))
        sweep_locked(home)
        # 0
        receipt = find_base(home, base)
        attempt.sha256 = receipt.digest
        work = _Deriving(receipt, model, home, config, launcher, trial, progress, since)
        return work.run(wanted.template, wanted.laid, dry_run=dry_run)


def find_base(home: Home, name: str) -> Receipt:
    """Return the receipt of a model that others can be derived from.

    Raises:
        CorralError: codes `no_such_model`, `model_held`, `derived_base`, `receipt_invalid`,
            `receipt_outdated`, `receipt_key_unreadable`, `database_unavailable`.
    """
    with closing(Catalog(home.database, home.receipt_public_key.read_bytes())) as catalog:
        entry, held, faults = catalog.lookup(name), catalog.held(), catalog.faults()
    if name in faults:
        raise receipt_error(name, faults[name])
    if name in held:
        raise CorralError(
            "model_held",
            "the admission policy holds this model back",
            remedy=f"see why: corral show {name}; decide anew: corral admit {name}",
        )
    if entry is None:
        raise CorralError(
            "no_such_model",
            "no admitted model has that name",
            remedy="see the names with corral list; admit one with corral pull SOURCE",
        )
    derivation = entry.receipt.derivation
    if derivation is not None:
        raise CorralError(
            "derived_base",
            "that model is derived itself, and nothing is derived from such a one",
            remedy=f"derive from {derivation.base}, with all that is wanted at once",
        )
    return entry.receipt


@dataclass(frozen=True, slots=True)
class _Deriving:
    base: Receipt
    model: ModelName
    home: Home
    config: Config
    launcher: LauncherClient
    trial: TrialLoader
    progress: Progress
    since: int

    def run(self, template: Path | None, laid: WantedFile | None, *, dry_run: bool) -> CatalogEntry:
        with ExitStack() as stack:
            # 1
            given = None if template is None else self._template(stack, template)
            blob = self._base(stack)
            # 2
            derivation = _derivation(self.base, given.path.read_bytes() if given else None)
            known_bad = load_advisories(self.home)
            arrived = begin(_provenance(self.base)).quarantine(blob.digest, blob.size_bytes)
            verified = passed(
                arrived.derive(
                    self.base.digest, derivation, known_bad,
                    expect=_demanded(self.base), signers=self.base.signers,
                )
            )  # fmt: skip
            blobs = [blob]
            # 3
            if laid is not None:
                over, scanned = self._laid(stack, laid, blob, known_bad)
                blobs.append(over)
                verified = verified.lay(scanned)
            served = derivation.template_sha256 or self.base.template.sha256
            identity = artifact_of(blob.digest, served, verified.derivation)
            check_name(self.home, self.model, identity)
            # 4 to 7
            admitting = Admitting(
                self.model, self.home, self.config, self.launcher, self.trial, self.progress,
                read_standing(self.home),
            )  # fmt: skip
            decided = admitting.decide(verified, blob, template=given.path if given else None)
            fetched_at = self.base.fetched_at
            if dry_run:
                return entry_of(admitting.receipt(decided, fetched_at=fetched_at))
            # 8
            return admitting.admit(decided, *blobs, fetched_at=fetched_at, how="derive")

    def _laid(
        self, stack: ExitStack, wanted: WantedFile, base: SealedBlob, known_bad: Advisories
    ) -> tuple[SealedBlob, ScannedLaid]:
        """Bring what is to be laid over the base, and look at it beside that."""
        place, _, expect = prepare_pull(wanted.source, self.model, wanted.expect)
        if len(set_of(place)) > 1:
            raise CorralError("bad_source", "an adapter or a projector is one file")
        signed, file_name = None, ""
        if wanted.demand is not None:
            fetch = SignatureFetch(self.home, self.config, self.launcher)
            signed = verify_demand(wanted.demand, place, self.config, self.home.root, fetch)
            file_name = wanted.demand.file_name(place)
        bringer = Bringer(self.home, self.config, self.launcher, self.progress, self.since)
        brought = bringer.bring(place, expect)
        stack.callback(brought.blob.path.unlink, missing_ok=True)
        if brought.manifest is not None:
            brought.manifest.check_names(brought.blob.digest)
        blob = brought.blob
        arrived = begin(brought.provenance).quarantine(blob.digest, blob.size_bytes)
        verified = passed(arrived.verify(expect, known_bad, signed, file_name))
        self.progress("scan", 0, 0)
        report = scan_sealed(
            [Part(str(self.model), blob.path)],
            home=self.home,
            launcher=self.launcher,
            counterpart=Counterpart("base", base.path),
            scale=(wanted.scale or 0) / 1000,
        )
        scanned = verified.scan_laid(report, scale=wanted.scale, fetched_at=brought.fetched_at)
        return blob, passed(scanned)

    def _base(self, stack: ExitStack) -> SealedBlob:
        """Return a copy of the base's blob, which knows the file that it was made of."""
        path = self.home.blob(Digest(self.base.digest))
        fd = open_local_file(path)
        try:
            before = identity_of(os.fstat(fd))
            blob = self._copied(stack, fd, self.config.fetch.max_bytes)
            unchanged = identity_of(os.fstat(fd)) == before
        finally:
            os.close(fd)
        return replace(blob, stored=before if unchanged else None)

    def _template(self, stack: ExitStack, path: Path) -> SealedBlob:
        fd = open_local_file(path)
        try:
            if os.fstat(fd).st_size > _TEMPLATE_BYTES:
                raise CorralError("too_large", "the chat template is longer than any may be")
            return self._copied(stack, fd, _TEMPLATE_BYTES)
        finally:
            os.close(fd)

    def _copied(self, stack: ExitStack, fd: int, max_bytes: int) -> SealedBlob:
        blob = seal_copy(
            fd,
            blobs_folder(self.home),
            max_bytes=max_bytes,
            moved=lambda done, total: self.progress("copy", done, total),
        )
        stack.callback(blob.path.unlink, missing_ok=True)
        return blob


def _derivation(base: Receipt, template: bytes | None) -> Derivation:
    # What is no UTF-8 is refused by the scan.
    text = None if template is None else template.decode(errors="replace")
    return Derivation(
        base=base.name,
        template_sha256="" if text is None else template_digest(text),
        base_template=base.template.outcome,
        base_template_sha256=base.template.found_sha256,
        base_findings=template_findings(base.findings),
    )


def _demanded(base: Receipt) -> Expectation:
    """Return what was demanded of the base's bytes when they were admitted, and held."""
    wheel = base.wheel_sha256 if base.wheel_sha256_demanded else ""
    manifest = base.manifest_sha256 if base.manifest_sha256_demanded else ""
    return Expectation(
        sha256=Digest(base.digest) if base.sha256_demanded else None,
        wheel_sha256=Digest(wheel) if wheel else None,
        manifest_sha256=Digest(manifest) if manifest else None,
    )


def _provenance(base: Receipt) -> Provenance:
    return Provenance(
        source=base.source,
        final_url=base.final_url,
        wheel_sha256=base.wheel_sha256,
        revision=base.revision,
        manifest_sha256=base.manifest_sha256,
        layers=base.layers,
        parts=base.parts,
    )
