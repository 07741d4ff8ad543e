"""The signed record of an admission: what was checked, by what, and with which result.

Trust: made on the operator side; verified by the gateway, which has only the public key.
Input of `verify_receipt`: text and signature from the database, which the gateway's zone can write:
nothing in them counts until the Ed25519 signature over the exact bytes verifies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from corral.admission.derivation import AdapterRecord, Derivation, ProjectorRecord, identity_of
from corral.admission.estimate import Estimate, MemoryShape
from corral.admission.layer import LayerClaim
from corral.admission.part import PartOfModel
from corral.admission.policy.verdict import Decision
from corral.admission.report import Finding
from corral.admission.signing.signer import Signer
from corral.admission.template.choice import ServedTemplate
from corral.admission.trial import TrialRecord
from corral.admission.trust_level import Trust
from corral.core.errors import CorralError
from corral.core.ids import ModelName

if TYPE_CHECKING:
    from corral.admission.trusted_model import Decided

PROCEDURE: Final = "corral-admission 5"
"""Name of the steps that `trusted_model` enforces; raise it when they change."""
RECEIPT_CONTEXT: Final = b"corral admission receipt v1\n"
"""Put before the signed bytes, so that the key's signatures mean nothing elsewhere."""
_RECEIPT_BYTES: Final = 2 << 20


ReceiptFault = Literal["receipt_invalid", "receipt_outdated"]
"""Why a receipt does not count: the signature, or a text that this version cannot read."""


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that was known when a model was admitted under a name.

    Attributes:
        version: format of the receipt.
        source, final_url, wheel_sha256, revision, fetched_at: where the bytes came from when they
            were fetched, also where a later admission took them from the store. URLs without
            their query.
        sha256_demanded: the operator gave the file's digest.
        wheel_sha256_demanded: the operator gave the wheel's digest when it was fetched.
        signers: whose signatures over the digest were verified in this admission.
        revision: commit that a hub named.
        manifest_sha256: of the registry's manifest that names these bytes; empty if none.
        manifest_sha256_demanded: the operator gave it when they were fetched.
        layers: what else that manifest has, as it says; nothing of it was fetched.
        parts: the files that were joined to these bytes; empty: it was one. A demanded digest is
            then that of each of them.
        scanner: name and version of the scanner.
        findings: what it saw and let pass.
        procedure: steps of the admission.
        decision: what the policy made of all this; `trust` is its level.
        licence: what the file says, unchecked; empty if nothing.
        engine: what the trial load ran, empty if it did not say.
        trial: what it showed.
        memory, context_train_tokens: what decides how much memory a worker takes.
        estimate: what one takes with the context and the parallel requests that were configured.
        control_tokens: texts that input must never contain.
        template: what the engine is given to render chats with, whatever the file has.
        fetched_at, admitted_at: Unix seconds.
        readmitted_from_store: this admission fetched, scanned and tried nothing: the operator gave
            the digest of a file that an earlier one had put into the store.
        derivation: what was added to these bytes; None: nothing. What was demanded of the bytes,
            and who signed them, was verified when their base was admitted.
        asked_source: what the operator named then. A local file was hashed, a remote source was
            not asked; the bytes are those of the store.
    """

    version: Literal[1] = 1
    name: str
    digest: str
    size_bytes: int
    trust: Trust
    source: str
    final_url: str
    wheel_sha256: str
    revision: str
    sha256_demanded: bool
    wheel_sha256_demanded: bool
    manifest_sha256: str = ""
    manifest_sha256_demanded: bool = False
    layers: tuple[LayerClaim, ...] = ()
    parts: tuple[PartOfModel, ...] = ()
    signers: tuple[Signer, ...] = ()
    scanner: str
    findings: tuple[Finding, ...]
    procedure: str
    decision: Decision
    engine: str
    trial: TrialRecord | None = None
    architecture: str
    licence: str = ""
    quantisation: str
    parameters: int
    block_count: int
    vocabulary_tokens: int
    memory: MemoryShape
    estimate: Estimate
    context_train_tokens: int
    has_chat_template: bool
    control_tokens: tuple[str, ...]
    template: ServedTemplate
    fetched_at: int
    admitted_at: int
    readmitted_from_store: bool = False
    asked_source: str = ""
    derivation: Derivation | None = None

    @property
    def laid(self) -> AdapterRecord | ProjectorRecord | None:
        """The adapter or projector that is laid over it."""
        return self.derivation.laid if self.derivation else None

    @property
    def modalities(self) -> frozenset[str]:
        """What the model takes besides text: of `image` and `audio`."""
        sees = self.derivation is not None and self.derivation.projector is not None
        return frozenset({"image"} if sees else ())

    @property
    def blobs(self) -> tuple[tuple[str, int], ...]:
        """Digest and bytes of each blob that it needs, its own first."""
        laid = self.laid
        over = ((laid.digest, laid.size_bytes),) if laid else ()
        return ((self.digest, self.size_bytes), *over)

    @property
    def advised(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What an advisory may name: digests, of each file that it came in too; keys of signers."""
        laid = self.laid
        digests = [self.digest, self.wheel_sha256, *(part.sha256 for part in self.parts)]
        signers = [*self.signers, *(laid.signers if laid else ())]
        digests += [laid.digest, laid.wheel_sha256] if laid else []
        return tuple(digests), tuple(signer.fingerprint for signer in signers)

    @property
    def identity(self) -> str:
        """What names the artifact: the file's digest, or more where the model is derived."""
        return identity_of(self.digest, self.template.sha256, self.derivation)


_decoder: Final = msgspec.json.Decoder(Receipt)


def make_receipt(
    decided: Decided, *, name: ModelName, fetched_at: int, admitted_at: int
) -> Receipt:
    """Return the receipt of a model that has passed every stage."""
    trialled = decided.trialled
    scanned = trialled.estimated.scanned
    verified = scanned.verified
    quarantined = verified.quarantined
    provenance = quarantined.fetched.provenance
    facts = scanned.facts
    return Receipt(
        name=name,
        digest=quarantined.digest,
        size_bytes=quarantined.size_bytes,
        trust=decided.trust,
        source=provenance.source,
        final_url=provenance.final_url,
        wheel_sha256=provenance.wheel_sha256,
        revision=provenance.revision,
        sha256_demanded=bool(verified.expect.sha256 or verified.expect.parts),
        wheel_sha256_demanded=verified.expect.wheel_sha256 is not None,
        manifest_sha256=provenance.manifest_sha256,
        manifest_sha256_demanded=verified.expect.manifest_sha256 is not None,
        layers=provenance.layers,
        parts=provenance.parts,
        signers=verified.signers,
        scanner=scanned.report.scanner,
        findings=scanned.report.findings,
        procedure=PROCEDURE,
        decision=decided.decision,
        engine=trialled.engine,
        trial=trialled.record,
        architecture=facts.architecture,
        licence=facts.licence,
        quantisation=facts.quantisation,
        parameters=facts.parameters,
        block_count=facts.block_count,
        vocabulary_tokens=facts.vocabulary_tokens,
        memory=facts.memory,
        estimate=trialled.estimated.estimate,
        context_train_tokens=facts.context_train_tokens,
        has_chat_template=facts.has_chat_template,
        control_tokens=facts.control_tokens,
        template=scanned.template,
        fetched_at=fetched_at,
        admitted_at=admitted_at,
        derivation=verified.derivation,
    )


def sign_receipt(receipt: Receipt, key: Ed25519PrivateKey) -> tuple[str, bytes]:
    """Return (canonical JSON text, signature over it)."""
    text = msgspec.json.encode(receipt, order="sorted")
    return text.decode(), key.sign(RECEIPT_CONTEXT + text)


def verify_receipt(public_key_pem: bytes) -> Callable[[str, bytes], Receipt | None]:
    """Return a verifier: (text, signature) → the receipt, or None if `read_receipt` finds a fault.

    Raises:
        CorralError: code `receipt_key_unreadable`.
    """
    read = read_receipt(public_key_pem)

    def verify(text: str, signature: bytes) -> Receipt | None:
        found = read(text, signature)
        return found if isinstance(found, Receipt) else None

    return verify


def read_receipt(public_key_pem: bytes) -> Callable[[str, bytes], Receipt | ReceiptFault]:
    """Return a reader: (text, signature) → the receipt, or why it does not count.

    Raises:
        CorralError: code `receipt_key_unreadable`.
    """
    try:
        key = load_pem_public_key(public_key_pem)
    except ValueError as error:
        raise _unreadable() from error
    if not isinstance(key, Ed25519PublicKey):
        raise _unreadable()

    def read(text: str, signature: bytes) -> Receipt | ReceiptFault:
        raw = text.encode()
        if len(raw) > _RECEIPT_BYTES:
            return "receipt_invalid"
        try:
            key.verify(signature, RECEIPT_CONTEXT + raw)
        except InvalidSignature:
            return "receipt_invalid"
        try:
            return _decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return "receipt_outdated"

    return read


def receipt_error(name: str, fault: ReceiptFault) -> CorralError:
    """Return the error that says that the model of a name cannot be used, and why.

    Args:
        name: of a row; untrusted unless the caller had it from the operator.
        fault: what is wrong with its receipt.
    """
    if fault == "receipt_outdated":
        return CorralError(
            "receipt_outdated",
            f"the receipt of {name} is signed, but of a form that this version does not read",
            remedy=f"admit it again: corral rm {name}, then corral pull its source",
        )
    return CorralError(
        "receipt_invalid",
        f"the receipt of {name} does not verify: somebody else wrote it, or another key signed it",
        remedy=f"look with corral fsck; then corral rm {name}, and pull it again",
    )


def _unreadable() -> CorralError:
    return CorralError(
        "receipt_key_unreadable", "the key that verifies admission receipts cannot be read"
    )
