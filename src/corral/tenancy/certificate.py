"""Client certificates: what TLS has proved of one, and whom the operator's table makes of it.

Trust: gateway [net]. Input: a certificate whose chain, signature, purpose, dates and CRL the TLS
library has checked (`gateway.tls`), with names that its holder may have chosen; rows written by
corral. Its text is never logged: it is known by the SHA-256 of its bytes.

 1 it was proved under the authorities of now, and has not ended      2 it is not revoked
 3 the row of its fingerprint, or else the one row of its URIs (two are nobody)      4 that row's
 tenant lives
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from corral.tenancy.permissions import ROLES, Role

FINGERPRINT_SHOWN: Final = 16
"""Hexadecimal digits of a fingerprint in the audit log: 64 bits."""
_TRUST: Final = "SELECT pem, required FROM client_trust"
_LIVE: Final = (
    "SELECT id, sha256, uri, tenant, role FROM client_certificates WHERE revoked_at IS NULL"
)
_REVOKED: Final = (
    "SELECT sha256 FROM client_certificates WHERE revoked_at IS NOT NULL AND sha256 IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class ClientTrust:
    """Who may sign client certificates.

    Attributes:
        pem: certificates of authorities, and their revocation lists.
        required: without a certificate nobody is anybody.
        digest: of `pem`.
    """

    pem: str = field(repr=False)
    required: bool
    digest: str


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a handshake proved.

    Attributes:
        sha256: of its DER form, in hex.
        uris: its alternative names of type URI.
        ends_at: Unix seconds.
        trust: `ClientTrust.digest` of the authorities under which it was proved.
    """

    sha256: str
    uris: tuple[str, ...]
    ends_at: int
    trust: str


UNUSABLE: Final = ClientCertificate("", (), 0, "")
"""A certificate that was shown and is no good: whoever shows it is nobody, key or not."""


class Credential(NamedTuple):
    """What came with a request.

    Attributes:
        token: of the `Authorization` header; empty if it is not as it should be, None if there is
            none.
        certificate: of the connection.
    """

    token: str | None
    certificate: ClientCertificate | None = None


class Mapped(NamedTuple):
    """One row: whom a certificate stands for."""

    row: int
    tenant: str
    role: Role


@dataclass(frozen=True, slots=True)
class CertificateTable:
    """What the database says of client certificates."""

    trust: ClientTrust | None = None
    by_sha256: Mapping[str, Mapped] = field(default_factory=dict)
    by_uri: Mapping[str, Mapped] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()

    def find(self, certificate: ClientCertificate, now_s: float) -> Mapped | None:
        """Return whom a certificate stands for (steps 1 to 3), or None."""
        if self.trust is None or certificate.trust != self.trust.digest:
            return None
        if now_s >= certificate.ends_at or certificate.sha256 in self.revoked:
            return None
        found = self.by_sha256.get(certificate.sha256)
        if found is not None:
            return found
        rows = {self.by_uri[uri] for uri in certificate.uris if uri in self.by_uri}
        return rows.pop() if len(rows) == 1 else None


def load_certificates(connection: sqlite3.Connection) -> CertificateTable:
    """Read the table.

    Raises:
        ValueError: a row makes no sense.
        sqlite3.Error: it cannot be read.
    """
    row = connection.execute(_TRUST).fetchone()
    trust = row and ClientTrust(row[0], bool(row[1]), hashlib.sha256(row[0].encode()).hexdigest())
    rows = connection.execute(_LIVE).fetchall()
    return CertificateTable(
        trust=trust,
        by_sha256={one[1]: _mapped(one) for one in rows if one[1] is not None},
        by_uri={one[2]: _mapped(one) for one in rows if one[2] is not None},
        revoked=frozenset(one[0] for one in connection.execute(_REVOKED)),
    )


def _mapped(row: tuple[Any, ...]) -> Mapped:
    number, _sha256, _uri, tenant, role = row
    if tenant is None or role not in ROLES:
        raise ValueError("a certificate's row makes no sense")
    return Mapped(number, tenant, role)


def parse_client_certificate(der: bytes, trust: str) -> ClientCertificate:
    """Return what a proved certificate says, or `UNUSABLE`.

    It must name client authentication as its purpose: the TLS library also lets in a certificate
    that names no purpose at all (RFC 5280, section 4.2.1.12).

    Args:
        der: as the peer has sent it.
        trust: see `ClientCertificate.trust`.
    """
    from cryptography import x509  # only where client certificates are taken
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        leaf = x509.load_der_x509_certificate(der)
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
            return UNUSABLE
        try:
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            uris = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
        except x509.ExtensionNotFound:
            uris = ()
        ends_at = int(leaf.not_valid_after_utc.timestamp())
    except Exception:
        # Whatever a library raises at names that somebody chose: no matter which, it is nobody.
        return UNUSABLE
    return ClientCertificate(hashlib.sha256(der).hexdigest(), uris, ends_at, trust)
