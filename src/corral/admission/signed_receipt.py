"""A receipt exactly as it was signed, so that who has only the public key can verify it.

Trust: operator side. Input: rows of the catalog, which the gateway's zone can write: what does not
verify is not returned. The name of the key is computed from the public key of this installation.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from corral.admission.receipt import Receipt, read_receipt, receipt_error
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.state.connection import open_reader


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt whose signature verifies.

    Attributes:
        text: JSON; its UTF-8 bytes after `RECEIPT_CONTEXT` are what is signed.
        signature: Ed25519 (RFC 8032), 64 bytes.
        key_fingerprint: `sha256:` and the digest of the public key's SubjectPublicKeyInfo (DER).
    """

    receipt: Receipt
    text: str
    signature: bytes
    key_fingerprint: str

    @property
    def sha256(self) -> str:
        """Digest of the text, which names this very admission."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_signed_receipt(home: Home, name: str) -> SignedReceipt:
    """Return the receipt of an admitted model with its signature.

    Raises:
        CorralError: codes `no_such_model`, `receipt_invalid`, `receipt_outdated`,
            `receipt_key_unreadable`, `database_unavailable`.
        OSError: the public key cannot be read.
        sqlite3.Error: the database cannot be read.
    """
    pem = home.receipt_public_key.read_bytes()
    read = read_receipt(pem)
    with closing(open_reader(home.database)) as connection:
        row = connection.execute(
            "SELECT receipt, signature FROM models WHERE name = ?", (name,)
        ).fetchone()
    if row is None:
        raise CorralError(
            "no_such_model",
            "no admitted model has that name",
            remedy="see the names with corral list",
        )
    text, signature = row
    receipt = read(text, signature)
    if not isinstance(receipt, Receipt) or receipt.name != name:
        fault = "receipt_invalid" if isinstance(receipt, Receipt) else receipt
        raise receipt_error(name, fault)
    key = load_pem_public_key(pem)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SignedReceipt(receipt, text, signature, "sha256:" + hashlib.sha256(der).hexdigest())
