"""Verify cosign's signatures of an OCI artifact: they sign the digest of its manifest.

Trust: operator side; no I/O but what the Sigstore library does for its own kind of root.
Input: hostile bytes that came from a registry; a trust root of the operator. What is proven is that
the signer named this manifest; the manifest names the model's blob by sha256, which is the caller's
to compare.

Two forms
    simple signing   a JSON payload in a layer of the tag `sha256-….sig`, its ECDSA signature (over
                     SHA-256, whatever the curve) in an annotation; keys only
    bundle           cosign 3: a Sigstore bundle in a referrer, over an in-toto statement

https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md
https://github.com/containers/image/blob/main/docs/containers-signature.5.md
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, Literal, final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Meta

from corral.admission.signing.refusal import refused
from corral.admission.signing.signer import Signer
from corral.admission.signing.trust_root import KeyRoot, TrustedSigner
from corral.admission.signing.verification import (
    Proven,
    check_validity,
    make_signer,
    verify_bundle,
)
from corral.core.errors import CorralError
from corral.core.ids import Digest

PAYLOAD_BYTES: Final = 64 << 10
SIGNATURE_CHARS: Final = 1024
PREDICATE_TYPE: Final = "https://sigstore.dev/cosign/sign/v1"

_SEAL: Final = object()
_Reference = Annotated[str, Meta(max_length=512)]


@final
@dataclass(frozen=True, slots=True)
class SignedManifest:
    """Proof that a trusted signer signed a manifest; only this module makes it.

    Attributes:
        manifest: digest of the OCI manifest.
        reference: repository that the signer named; empty if none.
    """

    signer: Signer
    manifest: Digest
    reference: str
    seal: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("SignedManifest is made by the verifiers of this module")

    def refusal(self, manifest: Digest, repository: str = "") -> CorralError | None:
        """Return why the signature does not cover a manifest, or None: it does.

        Args:
            manifest: digest of the manifest's bytes as we hashed them.
            repository: registry and name without tag, which the signer must have named if it
                named one; empty demands none.
        """
        if manifest != self.manifest:
            return refused("signature_mismatch", "the signature is about another manifest")
        if repository and self.reference and _repository(self.reference) != repository:
            return refused("signature_name", "it was signed for another repository")
        return None


class _Identity(msgspec.Struct, frozen=True):
    docker_reference: _Reference = msgspec.field(name="docker-reference", default="")


class _Image(msgspec.Struct, frozen=True):
    manifest: Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")] = msgspec.field(
        name="docker-manifest-digest"
    )


class _Critical(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unknown critical fields are refused, as the format demands."""

    identity: _Identity
    image: _Image
    type: Literal["cosign container image signature"]


class _SimpleSigning(msgspec.Struct, frozen=True):
    critical: _Critical


class _SubjectDigest(msgspec.Struct, frozen=True):
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class _Subject(msgspec.Struct, frozen=True):
    digest: _SubjectDigest
    name: _Reference = ""


class _Statement(msgspec.Struct, frozen=True, rename={"type_": "_type"}):
    type_: Literal["https://in-toto.io/Statement/v1"]
    subject: Annotated[tuple[_Subject, ...], Meta(min_length=1, max_length=1)]
    predicateType: str  # noqa: N815 - the name in the format


_payloads: Final = msgspec.json.Decoder(_SimpleSigning)
_statements: Final = msgspec.json.Decoder(_Statement)


def verify_simple_signing(
    payload: bytes, signature: str, trusted: TrustedSigner, now: datetime
) -> SignedManifest:
    """Return what a key signed in the old form.

    Args:
        payload: the layer's bytes.
        signature: value of the annotation `dev.cosignproject.cosign/signature`, base64.
        trusted: who must have signed.
        now: the time.

    Raises:
        CorralError: codes of `SignatureCode`.
    """
    check_validity(trusted, now)
    if not isinstance(trusted.root, KeyRoot):
        raise refused("signer_mismatch", "this form of signature counts for bare keys only")
    if len(payload) > PAYLOAD_BYTES or len(signature) > SIGNATURE_CHARS:
        raise refused("signature_malformed", "the signature is too large to be one")
    try:
        raw = base64.b64decode(signature.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise refused("signature_malformed", "the signature is not base64") from error
    key = trusted.root.key
    try:
        key.verify(raw, payload, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise refused(
            "signature_invalid", "the signature does not hold: changed, or made by another key"
        ) from error
    try:
        critical = _payloads.decode(payload).critical
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused("signature_malformed", "what was signed is not a manifest") from error
    reference = _printable(critical.identity.docker_reference)
    signer = make_signer(Proven(payload, key, "key"), trusted, reference, payload + raw)
    digest = Digest(critical.image.manifest.removeprefix("sha256:"))
    return SignedManifest(signer, digest, reference, _SEAL)


def verify_manifest_bundle(raw: bytes, trusted: TrustedSigner, now: datetime) -> SignedManifest:
    """Return what was signed in the new form.

    Args:
        raw: the bundle.
        trusted: who must have signed.
        now: the time.

    Raises:
        CorralError: codes of `SignatureCode`, `sigstore_missing`, `sigstore_offline`.
    """
    proven = verify_bundle(raw, trusted, now)
    try:
        statement = _statements.decode(proven.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused("signature_malformed", "the signed statement is not cosign's") from error
    if statement.predicateType != PREDICATE_TYPE:
        raise refused("signature_unsupported", "what was signed is not a manifest")
    subject = statement.subject[0]
    reference = _printable(subject.name)
    signer = make_signer(proven, trusted, reference, raw)
    return SignedManifest(signer, Digest(subject.digest.sha256), reference, _SEAL)


def _printable(reference: str) -> str:
    if not reference.isprintable():
        raise refused("signature_malformed", "the signed name is not one of a repository")
    return reference


def _repository(reference: str) -> str:
    """Return a reference without its tag and digest."""
    bare = reference.partition("@")[0]
    head, slash, tail = bare.rpartition("/")
    return head + slash + tail.partition(":")[0]
