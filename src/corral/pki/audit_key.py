"""The Ed25519 key pair of the gateway's audit chain.

Trust: operator side makes it; the gateway [net] gets the private half as a secret, because it signs
as it goes. The operator's own chain is signed with the receipt key, which the gateway never has.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.atomic import write_atomically


def audit_key_file(home: Home) -> Path:
    """Return the private key's path: PEM, PKCS 8, 0600."""
    return home.secrets / "audit.key"


def ensure_audit_key(home: Home) -> None:
    """Make the key if it is missing.

    Raises:
        CorralError: codes `audit_key_unreadable`, `state_write_failed`.
    """
    path = audit_key_file(home)
    if path.exists():
        parse_audit_key(path.read_bytes())
        return
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_atomically(path, pem, mode=0o600)


def parse_audit_key(pem: bytes) -> Ed25519PrivateKey:
    """Read the signing key.

    Raises:
        CorralError: code `audit_key_unreadable`.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise _unreadable() from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unreadable()
    return key


def audit_public_key(home: Home) -> Ed25519PublicKey:
    """Return the key that verifies the gateway's chain.

    Raises:
        CorralError: code `audit_key_unreadable`.
    """
    try:
        pem = audit_key_file(home).read_bytes()
    except OSError as error:
        raise _unreadable() from error
    return parse_audit_key(pem).public_key()


def _unreadable() -> CorralError:
    return CorralError(
        "audit_key_unreadable",
        "the key that signs the audit log cannot be read",
        remedy="restore the state folder's secrets/audit.key from a backup",
    )
