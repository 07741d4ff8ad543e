"""The operator's side of client certificates: who may sign them, and whom they stand for.

Trust: operator side. Input: the operator's files and words, checked.
"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from corral.core.errors import CorralError
from corral.core.ids import parse_tenant_name
from corral.core.limits import MIB
from corral.pki.client_authority import ClientAuthority
from corral.state.database import reading, writing
from corral.state.tables import client_certificates, client_trust, tenants
from corral.tenancy.permissions import ROLES

_PEM_CHARACTERS: Final = 1 * MIB
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}:[!-~]{1,480}")
_LIST: Final = re.compile(r"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----\n?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """One mapping or revocation; times are Unix seconds.

    Attributes:
        tenant: None of a certificate that was only revoked.
    """

    id: int
    sha256: str | None
    uri: str | None
    tenant: str | None
    role: str
    created_at: int
    revoked_at: int | None


def check_client_trust(pem: str) -> int:
    """Return how many authorities a file has; each of them may sign certificates.

    Raises:
        CorralError: code `client_ca_unusable`.
    """
    refused = CorralError(
        "client_ca_unusable",
        "the file is not a list of PEM certificates of authorities, with or without their CRLs",
        remedy="give the certificates of the CAs, not those of clients",
    )
    try:
        if len(pem) > _PEM_CHARACTERS:
            raise refused
        for one in _LIST.findall(pem):
            x509.load_pem_x509_crl(one.encode())
        found = x509.load_pem_x509_certificates(pem.encode())
        for one in found:
            limits = one.extensions.get_extension_for_class(x509.BasicConstraints).value
            if not limits.ca:
                raise refused
    except (ValueError, x509.ExtensionNotFound) as error:
        raise refused from error
    return len(found)


def put_client_trust(
    engine: Engine, pem: str, *, required: bool, own: ClientAuthority | None = None
) -> int:
    """Take client certificates of these authorities, and of no others, from now on.

    Connections that showed a certificate before have to be made anew where `pem` has changed.

    Args:
        engine: from `state.database.open_database`.
        pem: the operator's, with their CRLs.
        required: let nobody in without a certificate.
        own: corral's own, which is taken beside them.

    Returns:
        How many authorities there are.

    Raises:
        CorralError: codes `client_ca_unusable`, `database_unavailable`.
    """
    count = check_client_trust(pem)
    if own is not None:
        pem = _with_own(pem, own)
        count = check_client_trust(pem)
    with writing(engine) as connection:
        connection.execute(delete(client_trust))
        connection.execute(insert(client_trust).values(id=1, pem=pem, required=int(required)))
    return count


def add_client_trust(engine: Engine, own: ClientAuthority) -> bool:
    """Take client certificates of corral's own CA too; return whether that is new.

    Raises:
        CorralError: codes `client_ca_unusable`, `database_unavailable`.
    """
    with writing(engine) as connection:
        row = connection.execute(select(client_trust.c.pem, client_trust.c.required)).first()
        before, required = row or ("", 0)
        pem = _with_own(before, own)
        if pem == before:
            return False
        check_client_trust(pem)
        connection.execute(delete(client_trust))
        connection.execute(insert(client_trust).values(id=1, pem=pem, required=required))
    return True


def _with_own(pem: str, own: ClientAuthority) -> str:
    # Where there is a CRL each authority needs one, else its certificates are refused.
    parts = own if _LIST.search(pem) else (own.certificate,)
    return "\n".join((pem, *(part for part in parts if part not in pem)))


def drop_client_trust(engine: Engine) -> None:
    """Take no client certificates any more.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with writing(engine) as connection:
        connection.execute(delete(client_trust))


def check_role(role: str) -> None:
    """Return if there is such a role.

    Raises:
        CorralError: code `bad_role`.
    """
    if role not in ROLES:
        raise CorralError("bad_role", f"a role is one of: {', '.join(ROLES)}")


def map_certificate(
    engine: Engine, *, tenant: str, role: str, sha256: str | None = None, uri: str | None = None
) -> CertificateRow:
    """Let one certificate, or all of one URI, stand for a tenant with a role.

    Args:
        engine: from `state.database.open_database`.
        tenant: whose.
        role: what it may do.
        sha256: fingerprint of the certificate in hex; or else:
        uri: an alternative name of type URI, compared byte for byte.

    Raises:
        CorralError: codes `no_such_tenant`, `bad_role`, `bad_certificate`, `certificate_mapped`,
            `certificate_revoked`, `database_unavailable`.
    """
    name = parse_tenant_name(tenant)
    check_role(role)
    if (sha256 is None) == (uri is None):
        raise CorralError("bad_certificate", "say one of: a certificate's file, fingerprint or URI")
    if uri is not None and not _URI.fullmatch(uri):
        raise CorralError("bad_certificate", "that is no URI as a certificate can have it")
    digest = None if sha256 is None else parse_fingerprint(sha256)
    table = client_certificates
    try:
        with writing(engine) as connection:
            live = tenants.c.removed_at.is_(None) & (tenants.c.name == name)
            if connection.execute(select(tenants.c.name).where(live)).first() is None:
                raise CorralError("no_such_tenant", "there is no such tenant")
            gone = (table.c.sha256 == digest) & table.c.revoked_at.is_not(None)
            if digest and connection.execute(select(table.c.id).where(gone)).first():
                raise CorralError(
                    "certificate_revoked", "this certificate was revoked, which is for good",
                    remedy="have a new one issued",
                )  # fmt: skip
            values = {
                "sha256": digest, "uri": uri, "tenant": name, "role": role,
                "created_at": int(time.time()),
            }  # fmt: skip
            number = connection.execute(insert(table).values(**values)).inserted_primary_key
    except IntegrityError as error:
        raise CorralError(
            "certificate_mapped", "this certificate or URI stands for somebody already",
            remedy="see: corral cert list; then: corral cert revoke ID",
        ) from error  # fmt: skip
    return CertificateRow(id=number[0] if number else 0, revoked_at=None, **values)  # type: ignore[arg-type]


def list_certificates(engine: Engine) -> tuple[CertificateRow, ...]:
    """Return every mapping and revocation, oldest first.

    Raises:
        CorralError: code `database_unavailable`.
    """
    query = select(client_certificates).order_by(client_certificates.c.id)
    with reading(engine) as connection:
        return tuple(CertificateRow(**row) for row in connection.execute(query).mappings())


def revoke_certificate(engine: Engine, which: str) -> None:
    """Refuse certificates from the next request on: those of a row, or one by its fingerprint.

    Args:
        engine: from `state.database.open_database`.
        which: id of a row, or a fingerprint in hex, mapped or not (a URI may stand for it).

    Raises:
        CorralError: codes `no_such_certificate`, `bad_certificate`, `database_unavailable`.
    """
    table, now = client_certificates, int(time.time())
    with writing(engine) as connection:
        if which.isascii() and which.isdecimal() and len(which) <= 18:
            named = table.c.id == int(which)
            digest = None
        else:
            digest = parse_fingerprint(which)
            named = table.c.sha256 == digest
        found = connection.execute(select(table.c.id).where(named)).first()
        if found is None and digest is None:
            raise CorralError(
                "no_such_certificate", "there is no such certificate", remedy="corral cert list"
            )
        if found is None:
            values = {"sha256": digest, "role": "user", "created_at": now, "revoked_at": now}
            connection.execute(insert(table).values(**values))
        live = named & table.c.revoked_at.is_(None)
        connection.execute(update(table).where(live).values(revoked_at=now))


def fingerprint_of(pem: bytes) -> str:
    """Return the fingerprint of the first certificate of a PEM file.

    Raises:
        CorralError: code `bad_certificate`.
    """
    try:
        leaf = x509.load_pem_x509_certificates(pem)[0]
    except ValueError as error:
        raise CorralError("bad_certificate", "that is no PEM certificate") from error
    return hashlib.sha256(leaf.public_bytes(Encoding.DER)).hexdigest()


def parse_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint as 64 hexadecimal digits; OpenSSL's form with colons is taken.

    Raises:
        CorralError: code `bad_certificate`.
    """
    plain = text.replace(":", "").lower()
    if not _SHA256.fullmatch(plain):
        raise CorralError("bad_certificate", "a fingerprint is SHA-256: 64 hexadecimal digits")
    return plain
