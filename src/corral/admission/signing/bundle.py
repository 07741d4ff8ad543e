"""Parse a Sigstore bundle v0.3 that holds one DSSE envelope: the outer form of an OMS signature.

Trust: operator side; no I/O. Input: hostile bytes of a detached file, at most `BUNDLE_BYTES`:
typed, bounded, unknown fields refused. Nothing in here is proven; `verification` does that.

https://github.com/sigstore/protobuf-specs (sigstore_bundle.proto)
https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from corral.admission.signing.refusal import refused

BUNDLE_BYTES: Final = 4 << 20
MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
_CHAIN: Final = 8
_CERTIFICATE_BYTES: Final = 16 << 10

_Der = Annotated[bytes, Meta(min_length=1, max_length=_CERTIFICATE_BYTES)]


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One X.509 certificate, DER."""

    raw_bytes: _Der


class CertificateChain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Leaf first."""

    certificates: Annotated[tuple[Certificate, ...], Meta(min_length=1, max_length=_CHAIN)]


class PublicKeyHint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Which key it was, as the signer says: it chooses nothing here."""

    hint: Annotated[str, Meta(max_length=256)] = ""


class VerificationMaterial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What a verifier needs beside its trust root; exactly one of the first three.

    Attributes:
        tlog_entries, timestamp_verification_data: read by the Sigstore library only.
    """

    public_key: PublicKeyHint | None = None
    x509_certificate_chain: CertificateChain | None = None
    certificate: Certificate | None = None
    tlog_entries: Annotated[list[Any], Meta(max_length=16)] = []
    timestamp_verification_data: dict[str, Any] | None = None


class EnvelopeSignature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signature over the envelope's pre-authentication encoding."""

    sig: Annotated[bytes, Meta(min_length=8, max_length=1024)]
    keyid: Annotated[str, Meta(max_length=256)] = ""


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A DSSE envelope; a bundle has exactly one signature."""

    payload: bytes
    payload_type: Annotated[str, Meta(max_length=256)]
    signatures: Annotated[tuple[EnvelopeSignature, ...], Meta(min_length=1, max_length=1)]


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The whole file."""

    media_type: str
    verification_material: VerificationMaterial
    dsse_envelope: Envelope


_decoder: Final = msgspec.json.Decoder(Bundle)


def parse_bundle(raw: bytes) -> Bundle:
    """Return the bundle in `raw`.

    Raises:
        CorralError: code `signature_malformed`; `signature_unsupported` for another media type.
    """
    if len(raw) > BUNDLE_BYTES:
        raise refused("signature_malformed", "the signature file is too large to be one")
    try:
        bundle = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused(
            "signature_malformed", "the signature file is not a bundle of one signed envelope"
        ) from error
    if bundle.media_type != MEDIA_TYPE:
        raise refused("signature_unsupported", "the signature file is of another bundle version")
    material = bundle.verification_material
    kinds = (material.public_key, material.x509_certificate_chain, material.certificate)
    if sum(kind is not None for kind in kinds) != 1:
        raise refused("signature_malformed", "the bundle does not say in one way what signed it")
    return bundle


def encode_bundle(bundle: Bundle) -> bytes:
    """Return the bundle as the JSON that other verifiers of OMS read."""
    document = msgspec.to_builtins(bundle)
    material = document["verificationMaterial"]
    document["verificationMaterial"] = {k: v for k, v in material.items() if v is not None}
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
