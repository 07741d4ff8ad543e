"""Build and sign the two kinds of certificate that corral issues; no I/O.

Trust: operator side. The CA may sign server certificates only, no further CA (path length 0).
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
_NAMES_MAX: Final = 64
_BACKDATE: Final = timedelta(minutes=5)
"""Clients whose clock is a little late must accept a fresh certificate."""
_DNS: Final = re.compile(r"(?:\*\.)?(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)*(?!-)[a-z0-9-]{1,63}(?<!-)")


def issue_authority(key: ec.EllipticCurvePrivateKey, moment: datetime) -> x509.Certificate:
    """Return a self-signed CA certificate for `key`, valid from `moment`."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "corral own CA")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - _BACKDATE)
        .not_valid_after(moment + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
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
    ends = min(moment + timedelta(days=SERVER_DAYS), authority.not_valid_after_utc)
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "corral")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - _BACKDATE)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer_id, critical=False)
        .sign(authority_key, hashes.SHA256())
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
