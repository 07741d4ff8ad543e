"""The order of admission as types: what a model has passed is what its value can prove.

Trust: operator side; pure decisions, no I/O. Input: values made by the other stages.

    1 Fetched      bytes arrived; whatever the fetch job says about them is a claim
    2 Quarantined  a private copy exists, and *we* hashed it
    3 Verified     digest and signature are what the operator expected (or nothing was expected)
    4 Scanned      the structure check in the jail accepted it
    5 Estimated    what a worker of it will take is under every ceiling
    6 Trialled     the engine loaded it in its jail within that, and did what a model must do
    7 Decided      the policy gives it a trust level
    8 Admitted     a receipt about all this is signed; only this may enter the store

Each type can be made only by the step before it: the constructors are sealed, so the wrong order
cannot be written. A step that refuses returns `Denied`; it never raises.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, final

from msgspec.structs import replace as with_fields

from corral.admission.demand import make_demand
from corral.admission.denied import Denied, denied_as_bad, denied_by_policy, denied_by_scan
from corral.admission.derivation import AdapterRecord, Derivation, ProjectorRecord, subjects_of
from corral.admission.estimate import Estimate
from corral.admission.expectation import Expectation
from corral.admission.policy.decide import decide_least
from corral.admission.policy.document import Policy
from corral.admission.policy.subject import Subject, counted
from corral.admission.policy.verdict import Decision
from corral.admission.provenance import Provenance
from corral.admission.report import Facts, Report
from corral.admission.signing.cosign import SignedManifest
from corral.admission.signing.signer import Signer
from corral.admission.signing.verification import SignedModel
from corral.admission.template.choice import ServedTemplate, choose_template
from corral.admission.trial import TrialRecord, TrialResult
from corral.admission.trust_level import Trust
from corral.advisories.database import Advisories
from corral.core.config import Engine
from corral.core.errors import CorralError
from corral.core.ids import Digest

_SEAL: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sealed:
    seal: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError(f"{type(self).__name__} is made by the admission step before it")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched(_Sealed):
    """Step 1. Nothing is known about the bytes."""

    provenance: Provenance

    def quarantine(self, digest: Digest, size_bytes: int) -> Quarantined:
        """Step 2: a private copy was made and hashed by us."""
        return Quarantined(seal=_SEAL, fetched=self, digest=digest, size_bytes=size_bytes)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined(_Sealed):
    """Step 2. The digest is true; the content is unknown."""

    fetched: Fetched
    digest: Digest
    size_bytes: int

    def verify(
        self,
        expect: Expectation,
        known_bad: Advisories,
        signed: SignedModel | SignedManifest | None = None,
        file_name: str = "",
    ) -> Verified | Denied:
        """Step 3: compare with what the operator expects; nothing need be expected.

        Nothing that is known to be bad goes on, whatever the operator expects.

        Args:
            expect: digests that were demanded.
            known_bad: advisories in force.
            signed: proof of the demanded signature; it must cover this digest, or the manifest
                that names it.
            file_name: name that the signature must bear; empty if the source has none.
        """
        parts = self.fetched.provenance.parts
        bad = known_bad.about(
            (self.digest, self.fetched.provenance.wheel_sha256, *(part.sha256 for part in parts)),
            (signed.signer.fingerprint,) if signed else (),
        )
        if bad is not None:
            return denied_as_bad(bad)
        if expect.sha256 is not None and expect.sha256 != self.digest:
            return Denied(
                "hash_mismatch",
                f"the file has sha256 {self.digest}, expected {expect.sha256}",
                "find out why the file changed before you trust the new digest",
            )
        claimed = self.fetched.provenance.wheel_sha256
        if expect.wheel_sha256 is not None and expect.wheel_sha256 != claimed:
            return Denied("hash_mismatch", "the wheel has another sha256 than the expected one")
        manifest = self.fetched.provenance.manifest_sha256
        if expect.manifest_sha256 is not None and expect.manifest_sha256 != manifest:
            return Denied("hash_mismatch", "the manifest has another sha256 than the expected one")
        if expect.parts and expect.parts != tuple(part.sha256 for part in parts):
            return Denied("hash_mismatch", "a part has another sha256 than the expected one")
        # What was joined is signed part by part, each under its own name.
        signed_files = [(Digest(part.sha256), part.name) for part in parts]
        if isinstance(signed, SignedManifest):
            signed_files = [(Digest(manifest), file_name)]
        for covered, name in signed_files or [(self.digest, file_name)]:
            refusal = signed.refusal(covered, name) if signed else None
            if refusal is not None:
                return Denied(refusal.code, refusal.message, refusal.remedy)
        return Verified(
            seal=_SEAL,
            quarantined=self,
            expect=expect,
            signers=(signed.signer,) if signed else (),
        )

    def derive(
        self,
        digest: str,
        derivation: Derivation,
        known_bad: Advisories,
        *,
        expect: Expectation,
        signers: tuple[Signer, ...],
    ) -> Verified | Denied:
        """Step 3 of a model made from an admitted one: these are the base's bytes still.

        Args:
            digest: of the base's receipt.
            derivation: what is added to the base.
            known_bad: advisories in force.
            expect: digests that were demanded of the base, and held.
            signers: whose signatures over it were verified then.
        """
        provenance = self.fetched.provenance
        bad = known_bad.about(
            (self.digest, provenance.wheel_sha256, *(part.sha256 for part in provenance.parts)),
            [signer.fingerprint for signer in signers],
        )
        if bad is not None:
            return denied_as_bad(bad)
        if self.digest != digest:
            return Denied(
                "hash_mismatch",
                f"the base's file in the store has sha256 {self.digest}, not {digest}",
                "see what became of it: corral fsck",
            )
        return Verified(
            seal=_SEAL, quarantined=self, expect=expect, signers=signers, derivation=derivation
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Verified(_Sealed):
    """Step 3. The bytes are the expected ones; how much that means the policy says.

    Attributes:
        signers: whose signatures over these bytes were verified; empty: none was demanded.
        derivation: what is added to the bytes; None: nothing.
    """

    quarantined: Quarantined
    expect: Expectation
    signers: tuple[Signer, ...]
    derivation: Derivation | None = None

    def lay(self, laid: ScannedLaid) -> Verified:
        """Return the derived model with a file over it that was scanned beside its base.

        Raises:
            TypeError: it is no derived model.
        """
        if self.derivation is None:
            raise TypeError("something is laid over a derived model only")
        return replace(self, derivation=self.derivation.under(laid.record))

    def scan_laid(
        self, report: Report, *, scale: int | None, fetched_at: int
    ) -> ScannedLaid | Denied:
        """Step 4 of an adapter or projector: as of a model, but what is flagged is for the policy.

        Args:
            report: of the file beside its base.
            scale: with which an adapter is laid over it, in thousandths; None: it is a projector.
            fetched_at: Unix seconds.
        """
        if report.verdict == "reject":
            return denied_by_scan(report)
        known = self._known(report, fetched_at)
        if scale is not None:
            if report.kind != "adapter":
                return Denied("not_an_adapter", f"the file is no LoRA adapter: a {report.kind}")
            return ScannedLaid(seal=_SEAL, record=AdapterRecord(**known, scale=scale))
        found = report.projector
        if found is None:
            return Denied("not_a_projector", f"the file is no projector: a {report.kind}")
        if found.sounds or not found.images:
            return Denied("projector_for_sounds", "a projector for sounds cannot be served yet")
        record = ProjectorRecord(**known, memory_bytes=found.memory_bytes)
        return ScannedLaid(seal=_SEAL, record=record)

    def _known(self, report: Report, fetched_at: int) -> dict[str, Any]:
        expect, provenance = self.expect, self.quarantined.fetched.provenance
        return {
            "digest": self.quarantined.digest,
            "size_bytes": self.quarantined.size_bytes,
            "source": provenance.source,
            "final_url": provenance.final_url,
            "wheel_sha256": provenance.wheel_sha256,
            "revision": provenance.revision,
            "manifest_sha256": provenance.manifest_sha256,
            "sha256_demanded": expect.sha256 is not None,
            "wheel_sha256_demanded": expect.wheel_sha256 is not None,
            "manifest_sha256_demanded": expect.manifest_sha256 is not None,
            "signers": self.signers,
            "findings": report.findings,
            "fetched_at": fetched_at,
        }

    def scan(self, report: Report, policy: Policy, *, replacing: bool = False) -> Scanned | Denied:
        """Step 4: nothing that was rejected goes on, and nothing that the policy will refuse.

        A flagged model goes on only under a policy that lets its findings pass; its chat template
        must be fit, or be replaced by a built-in because the operator has said so (`replacing`).
        One that the operator gave is never replaced: it is fit, or the model is refused.
        """
        facts, found, derivation = report.facts, report.template, self.derivation
        given = derivation.template_sha256 if derivation else ""
        replacing = replacing and not given
        if facts is None or found is None:
            return denied_by_scan(report)
        if report.verdict == "reject" and not (replacing and report.only_template):
            return denied_by_scan(report)
        template = choose_template(found, replacing=replacing)
        if template is None:
            return denied_by_scan(report)
        if derivation is not None and given:
            if template.sha256 != given:
                return Denied("scan_failed", "the scan job answered with another chat template")
            template = with_fields(template, found_sha256=derivation.base_template_sha256)
            facts = with_fields(facts, has_chat_template=True)
        if derivation is not None:
            facts = with_fields(facts, memory=derivation.memory(facts.memory))
        scanned = Scanned(seal=_SEAL, verified=self, report=report, facts=facts, template=template)
        # The same question as at the end: what will be refused is not worth a load.
        _, decision = decide_least(policy, scanned.subjects, now_s=0)
        return denied_by_policy(policy, decision, report) or scanned


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedLaid(_Sealed):
    """Step 4 of an adapter or projector: it is sound, and fits what it was scanned beside."""

    record: AdapterRecord | ProjectorRecord


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned(_Sealed):
    """Step 4. The structure is sound and `facts` describe it; the engine will get `template`."""

    verified: Verified
    report: Report
    facts: Facts
    template: ServedTemplate

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """What the policy decides by, as far as it is known: not yet the memory."""
        verified = self.verified
        expect, quarantined = verified.expect, verified.quarantined
        whole = Subject(
            source=quarantined.fetched.provenance.source,
            digest=quarantined.digest,
            size_bytes=quarantined.size_bytes,
            parameters=self.facts.parameters,
            memory_bytes=0,
            architecture=self.facts.architecture,
            licence=self.facts.licence,
            evidence=expect.evidence(signature=bool(verified.signers)),
            signers=verified.signers,
            findings=counted(self.report.findings, self.template.outcome),
            template=self.template.outcome,
        )
        return subjects_of(whole, verified.derivation)

    def estimate(self, config: Engine, policy: Policy) -> Estimated | Denied:
        """Step 5: a worker with the configured context must fit under every ceiling.

        What the policy will refuse for its memory is refused here: it is not worth a load either.
        """
        try:
            demand = make_demand(self.facts, config)
        except CorralError as error:
            return Denied(error.code, error.message, error.remedy or "")
        estimated = Estimated(seal=_SEAL, scanned=self, estimate=demand.estimate)
        _, decision = decide_least(policy, estimated.subjects, now_s=0)
        return denied_by_policy(policy, decision, self.report) or estimated


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated(_Sealed):
    """Step 5. Only this may be loaded at all; `estimate` is of a worker as configured."""

    scanned: Scanned
    estimate: Estimate

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """What the policy decides by."""
        total = self.estimate.total_bytes
        return tuple(replace(one, memory_bytes=total) for one in self.scanned.subjects)

    @property
    def digest(self) -> Digest:
        """The blob's name in quarantine."""
        return self.scanned.verified.quarantined.digest

    def trial(self, result: TrialResult) -> Trialled | Denied:
        """Step 6: the engine must have loaded it."""
        if result.ok:
            return Trialled(seal=_SEAL, estimated=self, engine=result.engine, record=result.record)
        return Denied(
            "trial_failed",
            f"the trial load in a jail failed ({result.code})",
            "the file may be damaged, too large for this machine, or made for another engine",
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Trialled(_Sealed):
    """Step 6. The engine loads it and answers."""

    estimated: Estimated
    engine: str
    record: TrialRecord | None

    def decide(self, policy: Policy, *, now_s: int) -> Decided | Denied:
        """Step 7: the policy must give it a level."""
        trust, decision = decide_least(policy, self.estimated.subjects, now_s=now_s)
        denied = denied_by_policy(policy, decision, self.estimated.scanned.report)
        return denied or Decided(seal=_SEAL, trialled=self, trust=trust, decision=decision)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(_Sealed):
    """Step 7. The policy admits it; `trust` and `decision` say as what, and why."""

    trialled: Trialled
    trust: Trust
    decision: Decision

    def admit(self, receipt_text: str, signature: bytes) -> Admitted:
        """Step 8: a signed receipt exists."""
        return Admitted(seal=_SEAL, decided=self, receipt_text=receipt_text, signature=signature)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted(_Sealed):
    """Step 8. May enter store and catalog."""

    decided: Decided
    receipt_text: str
    signature: bytes

    @property
    def digests(self) -> frozenset[str]:
        """The names in the store of its blob, and of what is laid over it."""
        estimated = self.decided.trialled.estimated
        derivation = estimated.scanned.verified.derivation
        laid = derivation.laid if derivation else None
        return frozenset({estimated.digest, *([laid.digest] if laid else ())})


def begin(provenance: Provenance) -> Fetched:
    """Step 1: bytes have arrived in quarantine; this proves nothing about them."""
    return Fetched(seal=_SEAL, provenance=provenance)
