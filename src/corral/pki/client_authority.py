"""A CA of corral's own for client certificates, where there is no other.

Trust: operator side. Its key signs on the operator's side only; the gateway has the certificate,
as it has those of other authorities (`tenancy.certificate_table`). What it signed stands for nobody
until a row says for whom, so a key that was stolen lets nobody in by itself; and it may sign no
name that a row can have for another authority (`pki.issue`).
Input: files of the state folder, checked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.atomic import write_atomically
from corral.pki.authority import (
    ca_key_missing,
    certificate_pem,
    ensure_pair,
    key_pem,
    read_certificate,
    read_key,
)
from corral.pki.issue import issue_client, issue_client_authority, issue_no_revocations

CLIENT_DAYS_MAX: Final = 397


class ClientAuthority(NamedTuple):
    """What others need of the CA: its certificate and an empty CRL, as PEM."""

    certificate: str
    revocations: str


def client_ca_key_file(home: Home) -> Path:
    """Return the path of the CA's private key, 0600."""
    return home.secrets / "clients-ca.key"


def client_ca_file(home: Home) -> Path:
    """Return the path of the CA's certificate."""
    return home.tls / "clients-ca.crt"


def _crl_file(home: Home) -> Path:
    return home.tls / "clients-ca.crl"


def read_client_authority(home: Home) -> ClientAuthority | None:
    """Return the CA, None if none was made.

    Raises:
        CorralError: code `ca_unreadable`.
    """
    try:
        return ClientAuthority(
            client_ca_file(home).read_text("ascii"), _crl_file(home).read_text("ascii")
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CorralError(
            "ca_unreadable",
            "the certificate or CRL of the CA for clients cannot be read",
            remedy="restore the state folder's tls from a backup",
        ) from error


def ensure_client_authority(home: Home, *, now: datetime | None = None) -> ClientAuthority:
    """Make the CA if it is missing or half made; renew its certificate (same key) in time.

    Args:
        home: of an installation; the caller has `state.setup_lock`.
        now: the present, for tests.

    Raises:
        CorralError: codes `ca_key_missing`, `ca_unreadable`, `state_write_failed`.
    """
    moment = now or datetime.now(UTC)
    key_file, file, revocations = client_ca_key_file(home), client_ca_file(home), _crl_file(home)
    ensure_pair(key_file, file, issue_client_authority, moment)
    authority = x509.load_pem_x509_certificate(file.read_bytes())
    if not _lasts_as_long(revocations, authority):
        if not key_file.exists():
            raise ca_key_missing(key_file, file)
        none = issue_no_revocations(authority, read_key(key_file), moment)
        write_atomically(revocations, none.public_bytes(Encoding.PEM), mode=0o644)
    return ClientAuthority(file.read_text("ascii"), revocations.read_text("ascii"))


def _lasts_as_long(revocations: Path, authority: x509.Certificate) -> bool:
    try:
        held = x509.load_pem_x509_crl(revocations.read_bytes())
    except (OSError, ValueError):
        return False
    return held.next_update_utc == authority.not_valid_after_utc


def sign_client(home: Home, path: str, days: int, *, now: datetime | None = None) -> bytes:
    """Return a new private key and its certificate, as PEM.

    Args:
        home: `ensure_client_authority` was called for it.
        path: of the certificate's URI (`pki.issue.issue_client`).
        days: how long it is valid, 1 to `CLIENT_DAYS_MAX`.
        now: the present, for tests.

    Raises:
        CorralError: codes `ca_key_missing`, `ca_unreadable`.
    """
    key_file, file = client_ca_key_file(home), client_ca_file(home)
    authority = read_certificate(file)
    if authority is None or not key_file.exists():
        raise ca_key_missing(key_file, file)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = issue_client(key, authority, read_key(key_file), path, now or datetime.now(UTC), days)
    return key_pem(key) + certificate_pem(leaf)
