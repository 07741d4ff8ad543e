"""Corral's own certificate authority and the server certificate it issues.

Trust: operator side. Must never replace a CA silently: clients trust it by its file.
Input: names from the configuration, checked; files of the state folder, checked on each start.

Order of writes: key first, then certificate, so that a crash between leaves a key without a
matching certificate, which the next run completes. A certificate without its key was never left
by a crash: someone took the key away, so nothing is overwritten.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.atomic import write_atomically
from corral.pki.issue import issue_authority, issue_server, parse_server_names
from corral.pki.operator import load_or_check_operator_certificate

__all__ = ("ensure_authority", "ensure_server_certificate", "load_or_check_operator_certificate")

RENEW_DAYS: Final = 30


def ca_key_file(home: Home) -> Path:
    """Return the path of the own CA's private key, 0600."""
    return home.tls / "ca.key"


def ensure_authority(home: Home, *, now: datetime | None = None) -> None:
    """Make the CA if it is missing or half made; renew its certificate (same key) in time.

    Args:
        home: its `tls` folder exists.
        now: the present, for tests.

    Raises:
        CorralError: codes `ca_key_missing`, `ca_unreadable`, `state_write_failed`.
    """
    ensure_pair(ca_key_file(home), home.ca_cert, issue_authority, now or datetime.now(UTC))


def ensure_pair(
    key_file: Path,
    certificate_file: Path,
    issue: Callable[[ec.EllipticCurvePrivateKey, datetime], x509.Certificate],
    moment: datetime,
) -> None:
    """Make or renew one CA.

    Args:
        key_file: its private key, 0600; the folder exists.
        certificate_file: likewise.
        issue: makes the certificate.
        moment: the present.

    Raises:
        CorralError: codes `ca_key_missing`, `ca_unreadable`, `state_write_failed`.
    """
    certificate = read_certificate(certificate_file)
    fresh = certificate is not None and _is_fresh(certificate, moment)
    if not key_file.exists():
        if fresh:
            return  # the operator keeps the key elsewhere; it is missed only when it must sign
        if certificate is not None:
            raise ca_key_missing(key_file, certificate_file)
        write_atomically(key_file, key_pem(ec.generate_private_key(ec.SECP256R1())), mode=0o600)
    key = read_key(key_file)
    if certificate is None or not fresh or certificate.public_key() != key.public_key():
        write_atomically(certificate_file, certificate_pem(issue(key, moment)), mode=0o644)


def ensure_server_certificate(
    home: Home, names: tuple[str, ...], *, now: datetime | None = None
) -> bool:
    """Make a server certificate for `OWN_NAMES` and `names`, unless a good one is there.

    A new one is made when names changed, the CA changed, key and certificate do not match, or
    less than `RENEW_DAYS` remain.

    Args:
        home: `ensure_authority` was called for it.
        names: DNS names and IP addresses.
        now: the present, for tests.

    Returns:
        Whether a new certificate was written.

    Raises:
        CorralError: codes `bad_server_name`, `ca_key_missing`, `ca_unreadable`,
            `state_write_failed`.
    """
    moment = now or datetime.now(UTC)
    wanted = parse_server_names(names)
    authority = read_certificate(home.ca_cert)
    if authority is None:
        raise CorralError("ca_unreadable", "the CA certificate is missing", remedy="corral up")
    if _serves(home, authority, wanted, moment):
        return False
    if not ca_key_file(home).exists():
        raise ca_key_missing(ca_key_file(home), home.ca_cert)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = issue_server(key, authority, read_key(ca_key_file(home)), wanted, moment)
    write_atomically(home.server_key, key_pem(key), mode=0o600)
    write_atomically(
        home.server_cert, certificate_pem(leaf) + certificate_pem(authority), mode=0o644
    )
    return True


def _serves(
    home: Home, authority: x509.Certificate, wanted: list[x509.GeneralName], moment: datetime
) -> bool:
    try:
        certificate = read_certificate(home.server_cert)
        if certificate is None or not home.server_key.exists():
            return False
        key = read_key(home.server_key)
        certificate.verify_directly_issued_by(authority)
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (CorralError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False  # whatever is wrong with it, a new one replaces it
    return (
        list(held) == wanted
        and certificate.public_key() == key.public_key()
        and _is_fresh(certificate, moment)
    )


def _is_fresh(certificate: x509.Certificate, moment: datetime) -> bool:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begins <= moment and moment + timedelta(days=RENEW_DAYS) <= ends


def read_certificate(path: Path) -> x509.Certificate | None:
    """Return the first certificate of a file, None if there is no file.

    Raises:
        CorralError: code `ca_unreadable`.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreadable() from error


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the private key of a file.

    Raises:
        CorralError: code `ca_unreadable`.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable() from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _unreadable()
    return key


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def ca_key_missing(key_file: Path, certificate_file: Path) -> CorralError:
    """Return what is wrong where a CA must sign and cannot."""
    key, certificate = (f"{one.parent.name}/{one.name}" for one in (key_file, certificate_file))
    return CorralError(
        "ca_key_missing",
        "a certificate must be issued, but the CA's private key is not there",
        remedy=f"put {key} back, or move {certificate} away to start a new CA that must be trusted "
        "anew",
    )


def _unreadable() -> CorralError:
    return CorralError(
        "ca_unreadable",
        "a certificate or key of the own CA cannot be read",
        remedy="restore the state folder's tls and secrets from a backup",
    )
