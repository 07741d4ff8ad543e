"""Build and sign what corral issues; no I/O.

Trust: operator side. There are two CAs, one for the server's certificate and one for clients';
neither may sign a further CA (path length 0), and that for clients nothing that could pass for a
server.
Input: names from the configuration, checked here; at most `_NAMES_MAX`.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from corral.core.errors import CorralError

CA_DAYS: Final = 3650
SERVER_DAYS: Final = 397
"""Longest life that common TLS clients accept."""
OWN_NAMES: Final = ("localhost", "127.0.0.1", "::1")
CLIENT_URI_HOST: Final = "tenant"
_EVERY_ADDRESS: Final = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
_NAMES_MAX: Final = 64
_BACKDATE: Final = timedelta(minutes=5)
"""Clients whose clock is a little late must accept a fresh certificate."""
_DNS: Final = re.compile(r"(?:\*\.)?(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)*(?!-)[a-z0-9-]{1,63}(?<!-)")


def issue_authority(key: ec.EllipticCurvePrivateKey, moment: datetime) -> x509.Certificate:
    """Return a self-signed CA certificate for `key`, valid from `moment`."""
    return _authority("corral own CA", key, moment).sign(key, hashes.SHA256())


def issue_client_authority(key: ec.EllipticCurvePrivateKey, moment: datetime) -> x509.Certificate:
    """Return a self-signed certificate of a CA for clients, valid from `moment`.

    It may sign for client authentication only, and names only of the form that `issue_client` has
    (RFC 5280, section 4.2.1.10: a URI's host): no URI that an operator maps for another authority.
    """
    constraints = x509.NameConstraints(
        permitted_subtrees=[x509.UniformResourceIdentifier(CLIENT_URI_HOST)],
        excluded_subtrees=[x509.DNSName(""), *map(x509.IPAddress, _EVERY_ADDRESS)],
    )
    return (
        _authority("corral clients CA", key, moment)
        .add_extension(constraints, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def issue_no_revocations(
    authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey, moment: datetime
) -> x509.CertificateRevocationList:
    """Return an empty CRL that lasts as long as its CA, for where each authority needs one.

    What corral has issued is revoked by a row, at the next request (`corral cert revoke`).
    """
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(moment - _BACKDATE)
        .next_update(authority.not_valid_after_utc)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(issuer_id, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def issue_server(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
    moment: datetime,
) -> x509.Certificate:
    """Return a server certificate for `key` and `names`; it never outlives its CA.

    Args:
        key: the server's.
        authority: the CA's certificate.
        authority_key: the CA's key.
        names: from `parse_server_names`.
        moment: start of its life.
    """
    return (
        _leaf("corral", key, authority, authority_key, moment, SERVER_DAYS)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def issue_client(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    path: str,
    moment: datetime,
    days: int,
) -> x509.Certificate:
    """Return a client's certificate for `key`; it never outlives its CA.

    Args:
        key: the client's.
        authority: certificate of `issue_client_authority`.
        authority_key: the CA's key.
        path: of its URI, such as `acme/00ff`.
        moment: start of its life.
        days: how long.
    """
    uri = x509.UniformResourceIdentifier(f"corral://{CLIENT_URI_HOST}/{path}")
    return (
        _leaf("corral client", key, authority, authority_key, moment, days)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _authority(
    name: str, key: ec.EllipticCurvePrivateKey, moment: datetime
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        _begun(subject, subject, key, moment, moment + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )


def _leaf(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    moment: datetime,
    days: int,
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    ends = min(moment + timedelta(days=days), authority.not_valid_after_utc)
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _begun(subject, authority.subject, key, moment, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(issuer_id, critical=False)
    )


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    moment: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - _BACKDATE)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def parse_server_names(names: tuple[str, ...]) -> list[x509.GeneralName]:
    """Return `OWN_NAMES` and `names`, each once, in this order.

    Raises:
        CorralError: code `bad_server_name`.
    """
    found: dict[x509.GeneralName, None] = {}
    for text in (*OWN_NAMES, *names):
        found[_general_name(text.strip().lower())] = None
    if len(found) > _NAMES_MAX:
        raise CorralError("bad_server_name", f"a server has at most {_NAMES_MAX} names")
    return list(found)


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        if len(text) > 253 or not _DNS.fullmatch(text):
            raise CorralError(
                "bad_server_name",
                "a server name is a DNS name or an IP address",
                remedy="write international names in their xn-- form",
            ) from None
        return x509.DNSName(text)
