"""A Sigstore of our own: authority, certificate log, transparency log, and their trusted root.

What Fulcio, its certificate log and Rekor do for one signature, with keys made here: a certificate
with the identity of who signs and the log's timestamp in it (RFC 6962, section 3), and an entry in
a log of one leaf with its signed entry timestamp and checkpoint. The real library verifies it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from corral.admission.signing.dsse import IN_TOTO, sign_payload
from tests.support.signatures import DAY, NOW, new_key

IDENTITY, ISSUER = "ci@example.org", "https://issuer.example"
_ISSUER_OID = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_SCT_OID = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ORIGIN = "rekor.example - 1"
_SHA256 = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True)
class SigstoreInstance:
    """Keys of one instance; another one has others."""

    ca_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    ct_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    rekor_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)

    def write_trusted_root(self, path: Path) -> None:
        """Write `trusted_root.json`, as an operator has it."""
        authority = {
            "subject": {"organization": "example", "commonName": "fulcio"},
            "uri": "https://fulcio.example",
            "certChain": {"certificates": [{"rawBytes": _der(self._authority)}]},
            "validFor": _FROM,
        }
        path.write_text(
            json.dumps(
                {
                    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                    "tlogs": [_log("https://rekor.example", self.rekor_key)],
                    "certificateAuthorities": [authority],
                    "ctlogs": [_log("https://ct.example", self.ct_key)],
                }
            )
        )

    @property
    def _authority(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fulcio")])
        return (
            x509.CertificateBuilder(name, name, self.ca_key.public_key(), 1)
            .not_valid_before(NOW - 30 * DAY)
            .not_valid_after(NOW + 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.ca_key.public_key()), critical=False
            )
            .sign(self.ca_key, hashes.SHA256())
        )

    def bundle(self, payload: bytes, identity: str = IDENTITY, issuer: str = ISSUER) -> bytes:
        """Return the bundle that who proves an identity makes of an in-toto statement."""
        key = new_key()
        leaf = self._leaf(key.public_key(), identity, issuer)
        signature = sign_payload(payload, key).signatures[0].sig
        body = _entry_body(payload, signature, leaf)
        return json.dumps({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": _der(leaf)},
                "tlogEntries": [self._entry(body)],
            },
            "dsseEnvelope": {
                "payload": _text(payload), "payloadType": IN_TOTO,
                "signatures": [{"sig": _text(signature)}],
            },
        }).encode()  # fmt: skip

    def _leaf(self, key: ec.EllipticCurvePublicKey, identity: str, issuer: str) -> x509.Certificate:
        known = x509.UnrecognizedExtension(_ISSUER_OID, issuer.encode())
        builder = (
            x509.CertificateBuilder(self._authority.subject, x509.Name([]), key, 2)
            .not_valid_before(NOW)
            .not_valid_after(NOW + timedelta(minutes=10))
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca_key.public_key()),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(identity)]), critical=True)
            .add_extension(known, critical=False)
        )
        signed = builder.sign(self.ca_key, hashes.SHA256()).tbs_certificate_bytes
        when_ms = int(NOW.timestamp() * 1000)
        start = struct.pack("!BBQH", 0, 0, when_ms, 1) + _key_id(self.ca_key)
        data = start + len(signed).to_bytes(3) + signed + bytes(2)
        signature = self.ct_key.sign(data, _SHA256)
        timestamp = struct.pack("!B32sQHBBH", 0, _key_id(self.ct_key), when_ms, 0, 4, 3,
                                len(signature)) + signature  # fmt: skip
        listed = struct.pack("!HH", len(timestamp) + 2, len(timestamp)) + timestamp
        octets = b"\x04" + bytes([len(listed)] if len(listed) < 128 else [0x81, len(listed)])
        logged = x509.UnrecognizedExtension(_SCT_OID, octets + listed)
        return builder.add_extension(logged, critical=False).sign(self.ca_key, hashes.SHA256())

    def _entry(self, body: bytes) -> dict[str, object]:
        root, at = hashlib.sha256(b"\0" + body).digest(), int(NOW.timestamp()) + 60
        promised = rfc8785.dumps({
            "body": _text(body), "integratedTime": at,
            "logID": _key_id(self.rekor_key).hex(), "logIndex": 0,
        })  # fmt: skip
        note = f"{_ORIGIN}\n1\n{_text(root)}\n"
        mark = _key_id(self.rekor_key)[:4] + self.rekor_key.sign(note.encode(), _SHA256)
        return {
            "logIndex": "0",
            "logId": {"keyId": _text(_key_id(self.rekor_key))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(at),
            "inclusionPromise": {
                "signedEntryTimestamp": _text(self.rekor_key.sign(promised, _SHA256))
            },
            "inclusionProof": {
                "logIndex": "0", "rootHash": _text(root), "treeSize": "1", "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\u2014 rekor.example {_text(mark)}\n"},
            },
            "canonicalizedBody": _text(body),
        }  # fmt: skip


_FROM = {"start": "2026-01-01T00:00:00Z"}


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=ca, crl_sign=ca,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _entry_body(payload: bytes, signature: bytes, leaf: x509.Certificate) -> bytes:
    """Return a log entry of the kind dsse 0.0.1."""
    verifier = _text(leaf.public_bytes(Encoding.PEM))
    spec = {
        "envelopeHash": {"algorithm": "sha256", "value": "0" * 64},
        "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
        "signatures": [{"signature": _text(signature), "verifier": verifier}],
    }
    return rfc8785.dumps({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})


def _log(url: str, key: ec.EllipticCurvePrivateKey) -> dict[str, object]:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": _text(_public(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": _FROM,
        },
        "logId": {"keyId": _text(_key_id(key))},
    }  # fmt: skip


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_public(key)).digest()


def _der(certificate: x509.Certificate) -> str:
    return _text(certificate.public_bytes(Encoding.DER))


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
