"""Certificates for tests of mutual TLS: authorities, clients, revocation lists."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
DAY = timedelta(days=1)


@dataclass
class Signed:
    """A certificate with its key; `chain` are the ones above it, without the root."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.certificate.public_bytes(Encoding.DER)).hexdigest()

    def write(self, folder: Path) -> str:
        """Return a file for `load_cert_chain`."""
        path = folder / f"{self.sha256[:16]}.pem"
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        above = b"".join(one.public_bytes(Encoding.PEM) for one in self.chain)
        path.write_bytes(key + self.pem.encode() + above)
        return str(path)

    def sub_ca(self, *, path_length: int | None = 0) -> Signed:
        found = _issue(self, "sub", None, [], ends_in=DAY, path_length=path_length, is_ca=True)
        return Signed(found.certificate, found.key, (found.certificate, *self.chain))

    def client(
        self, *, uri: str = "", purposes: tuple[x509.ObjectIdentifier, ...] = CLIENT,
        ends_in: timedelta = DAY, dns: str = "",
    ) -> Signed:  # fmt: skip
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)] if uri else []
        names += [x509.DNSName(dns)] if dns else []
        found = _issue(self, "client", purposes, names, ends_in=ends_in)
        return Signed(found.certificate, found.key, self.chain)

    def revocations(self, *revoked: Signed) -> str:
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder(
            self.certificate.subject, now - DAY, now + DAY
        )
        for one in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder(one.certificate.serial_number, now - DAY).build()
            )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def authority(name: str = "clients", *, path_length: int | None = 1) -> Signed:
    return _issue(None, name, None, [], ends_in=DAY, path_length=path_length, is_ca=True)


def _issue(
    issuer: Signed | None, name: str, purposes: tuple[x509.ObjectIdentifier, ...] | None,
    names: list[x509.GeneralName], *, ends_in: timedelta, path_length: int | None = None,
    is_ca: bool = False,
) -> Signed:  # fmt: skip
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(serial_number=x509.random_serial_number())
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .not_valid_before(now - 2 * DAY)
        .not_valid_after(now + ends_in)
        .add_extension(x509.BasicConstraints(is_ca, path_length), critical=True)
    )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Signed(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)
