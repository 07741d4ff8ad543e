"""Keys, certificates and signatures for tests: by corral's own code and by the reference library.

The reference is OpenSSF's `model-signing`; it needs pyOpenSSL, which it does not declare.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from corral.admission.signing.bundle import MEDIA_TYPE
from corral.admission.signing.dsse import sign_payload
from corral.admission.signing.trust_root import KeyRoot, TrustedSigner

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def new_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def private_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> bytes:
    how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def trusted_key(key: ec.EllipticCurvePrivateKey, name: str = "alice") -> TrustedSigner:
    return TrustedSigner(name, KeyRoot(key.public_key()))


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def issue(
    name: str,
    issuer: Issued | None = None,
    *,
    ca: bool = False,
    san: str = "",
    usage: bool = True,
    eku: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.CODE_SIGNING,
    valid: tuple[datetime, datetime] = (NOW - 30 * DAY, NOW + 30 * DAY),
    path_length: int | None = None,
    curve: ec.EllipticCurve | None = None,
) -> Issued:
    """Return a new certificate; without an issuer it signs itself."""
    key = new_key(curve)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.BasicConstraints(ca, path_length if ca else None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=usage and not ca, content_commitment=False,
                key_encipherment=False, data_encipherment=False, key_agreement=False,
                key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
    )  # fmt: skip
    if eku is not None and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([eku]), critical=False)
    if san:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.RFC822Name(san)]), critical=False
        )
    return Issued(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


def reference_sign(
    model: Path, key: ec.EllipticCurvePrivateKey, out: Path, chain: tuple[Issued, ...] = (),
    shard_bytes: int = 0,
) -> bytes:  # fmt: skip
    """Sign with the reference library and return the bundle."""
    from model_signing import hashing, signing

    pem = out.with_name("reference.pem")
    pem.write_bytes(private_pem(key))
    config = signing.Config()
    if chain:
        paths = []
        for number, one in enumerate(chain):
            paths.append(out.with_name(f"reference-{number}.crt"))
            paths[-1].write_bytes(one.pem)
        config.use_certificate_signer(
            private_key=pem, signing_certificate=paths[0], certificate_chain=paths[1:]
        )
    else:
        config.use_elliptic_key_signer(private_key=pem)
    if shard_bytes:
        config.set_hashing_config(hashing.Config().use_shard_serialization(shard_size=shard_bytes))
    config.sign(model, out)
    return out.read_bytes()


def payload_of(raw: bytes) -> Any:
    """Return the statement in a bundle."""
    return json.loads(base64.b64decode(json.loads(raw)["dsseEnvelope"]["payload"]))


def resigned(raw: bytes, key: ec.EllipticCurvePrivateKey, change: Callable[[Any], object]) -> bytes:
    """Return the bundle with a changed statement that the same signer signed again."""
    statement = payload_of(raw)
    change(statement)
    envelope = sign_payload(json.dumps(statement).encode(), key)
    return bundle_json(envelope.payload, envelope.signatures[0].sig)


def bundle_json(payload: bytes, signature: bytes, **changes: Any) -> bytes:
    """Return a bundle with a key's hint, field by field."""
    document = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": ""}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return json.dumps(document | changes).encode()
