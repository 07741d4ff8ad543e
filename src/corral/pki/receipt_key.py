"""The Ed25519 key pair that signs and verifies admission receipts.

Trust: operator side. The private key is read only by admission; the gateway gets the public one.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.atomic import write_atomically


def ensure_receipt_key(home: Home) -> None:
    """Make the key pair if it is missing; make the public half again if only that is missing.

    Raises:
        CorralError: codes `receipt_key_unreadable`, `state_write_failed`.
    """
    if home.receipt_key.exists():
        key = load_receipt_key(home)
    else:
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomically(home.receipt_key, pem, mode=0o600)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if not home.receipt_public_key.exists() or home.receipt_public_key.read_bytes() != public:
        write_atomically(home.receipt_public_key, public, mode=0o644)


def load_receipt_key(home: Home) -> Ed25519PrivateKey:
    """Read the signing key.

    Raises:
        CorralError: code `receipt_key_unreadable`.
    """
    try:
        key = load_pem_private_key(home.receipt_key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable() from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unreadable()
    return key


def _unreadable() -> CorralError:
    return CorralError(
        "receipt_key_unreadable",
        "the key that signs admission receipts cannot be read",
        remedy="restore the state folder's secrets from a backup",
    )
