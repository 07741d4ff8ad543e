"""Verify a detached OMS signature: hostile bytes in, a proof of who signed which digests out.

Trust: operator side; no I/O but what the Sigstore library does for its own kind of root.
Input: hostile bytes of a bundle; a trust root of the operator. Nothing of the model is read here.

    1 the signer counts now
    2 the bundle is one of its kind and size
    3 the key: the trusted one, or that of a certificate which leads to the trusted root
    4 the signature over the envelope's encoding holds
    5 the statement is one about a model, and consistent
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from corral.admission.signing.bundle import VerificationMaterial, parse_bundle
from corral.admission.signing.certificate import verify_chain
from corral.admission.signing.dsse import verify_envelope
from corral.admission.signing.keys import fingerprint
from corral.admission.signing.refusal import refused
from corral.admission.signing.signer import Signer, SignerKind
from corral.admission.signing.statement import SINGLE, Manifest, parse_statement
from corral.admission.signing.trust_root import (
    CertificateRoot,
    KeyRoot,
    SigstoreRoot,
    TrustedSigner,
)
from corral.core.errors import CorralError
from corral.core.ids import Digest

_SEAL: Final = object()


@final
@dataclass(frozen=True, slots=True)
class SignedModel:
    """Proof that a trusted signer signed these digests; only `verify_signature` makes it."""

    signer: Signer
    manifest: Manifest
    seal: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("SignedModel is made by verify_signature")

    def refusal(self, digest: Digest, file_name: str) -> CorralError | None:
        """Return why the signature does not cover a file, or None: it does.

        A digest alone would let an old or another model of the same signer pass under a new name.

        Args:
            digest: of the file as we hashed it.
            file_name: how it is called where it came from; empty if nobody says.
        """
        signed = self.manifest.whole_files().get(digest)
        if signed is None:
            return refused("signature_mismatch", "the signature is about other files than this one")
        name = self.signer.signed_name if signed == SINGLE else signed.rsplit("/", 1)[-1]
        if file_name and name != file_name:
            return refused("signature_name", f"the file was signed under the name {name}")
        return None


@dataclass(frozen=True, slots=True)
class Proven:
    """A payload that a trusted signer signed.

    Attributes:
        key: what made the signature.
        identity: name in the certificate that was demanded; empty for a key.
    """

    payload: bytes
    key: ec.EllipticCurvePublicKey
    kind: SignerKind
    identity: str = ""


def verify_signature(raw: bytes, trusted: TrustedSigner, now: datetime) -> SignedModel:
    """Return what a trusted signer signed.

    Args:
        raw: the signature file.
        trusted: who must have signed.
        now: the time.

    Raises:
        CorralError: codes of `SignatureCode`, `sigstore_missing`, `sigstore_offline`.
    """
    proven = verify_bundle(raw, trusted, now)
    # 5
    manifest = parse_statement(proven.payload)
    return SignedModel(make_signer(proven, trusted, manifest.name, raw), manifest, _SEAL)


def verify_bundle(raw: bytes, trusted: TrustedSigner, now: datetime) -> Proven:
    """Return the payload of a bundle, steps 1 to 4; what it says is the caller's to read.

    Raises:
        CorralError: codes of `SignatureCode`, `sigstore_missing`, `sigstore_offline`.
    """
    # 1
    check_validity(trusted, now)
    match trusted.root:
        case KeyRoot(key=key):
            # 2
            bundle = parse_bundle(raw)
            # 3
            if bundle.verification_material.public_key is None:
                raise refused("signer_mismatch", "this was not signed by a bare key")
            # 4
            return Proven(verify_envelope(bundle.dsse_envelope, key), key, "key")
        case CertificateRoot() as root:
            bundle = parse_bundle(raw)
            key, identity = _certified(bundle.verification_material, root, now)
            payload = verify_envelope(bundle.dsse_envelope, key)
            return Proven(payload, key, "certificate", identity)
        case SigstoreRoot() as root:
            from corral.admission.signing.sigstore_identity import verify_sigstore

            payload, key = verify_sigstore(raw, root)
            return Proven(payload, key, "sigstore", root.identity)


def check_validity(trusted: TrustedSigner, now: datetime) -> None:
    """Refuse a signer outside of its time.

    Raises:
        CorralError: code `signer_expired`.
    """
    if not trusted.is_valid(now):
        raise refused(
            "signer_expired", "the signer does not count now, by its valid_from and _until"
        )


def make_signer(proven: Proven, trusted: TrustedSigner, signed_name: str, raw: bytes) -> Signer:
    """Return who signed, for receipts; `raw` is the signature as it came."""
    return Signer(
        name=trusted.name,
        kind=proven.kind,
        fingerprint=fingerprint(proven.key),
        identity=proven.identity,
        signed_name=signed_name,
        bundle_sha256=hashlib.sha256(raw).hexdigest(),
    )


def _certified(
    material: VerificationMaterial, root: CertificateRoot, now: datetime
) -> tuple[ec.EllipticCurvePublicKey, str]:
    if material.x509_certificate_chain is None:
        raise refused("signer_mismatch", "this was not signed with a certificate chain")
    chain = [one.raw_bytes for one in material.x509_certificate_chain.certificates]
    if root.at_issue:
        try:
            now = x509.load_der_x509_certificate(chain[0]).not_valid_before_utc
        except ValueError as error:
            raise refused(
                "signature_malformed", "the bundle's certificates cannot be read"
            ) from error
    return verify_chain(chain, root.roots, root.demand, now)
