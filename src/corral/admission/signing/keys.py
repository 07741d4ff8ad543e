"""The ECDSA keys of signers: load, compare, name by fingerprint.

Trust: operator side. Input: key files that the operator names; a passphrase from a prompt or a
file, never from the command line or the environment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from corral.admission.signing.dsse import HASHES
from corral.core.errors import CorralError

KEY_BYTES: Final = 64 << 10


def load_signing_key(path: Path, passphrase: Callable[[], bytes]) -> ec.EllipticCurvePrivateKey:
    """Return the private key of a PEM file.

    Args:
        path: of the file.
        passphrase: asked only if the key is encrypted.

    Raises:
        CorralError: codes `signing_key_unusable`, `passphrase_wrong`.
    """
    pem = read_small(path)
    key: object
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:  # how the library says that the key is encrypted
        key = _decrypted(pem, passphrase())
    except ValueError as error:
        raise _unusable() from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in HASHES:
        raise _unusable()
    return key


def parse_public_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return a public key on P-256, P-384 or P-521.

    Raises:
        ValueError: it is none.
    """
    key = load_pem_public_key(pem)
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in HASHES:
        raise ValueError("not a key on P-256, P-384 or P-521")
    return key


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """Return `sha256:` and the digest of the key's SubjectPublicKeyInfo (DER)."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + hashlib.sha256(der).hexdigest()


def hint(key: ec.EllipticCurvePublicKey) -> str:
    """Return what OMS writes into a bundle to name a key: the digest of its PEM text."""
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def read_small(path: Path) -> bytes:
    """Return the bytes of a key, certificate or passphrase file.

    Raises:
        CorralError: code `signing_key_unusable`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise _unusable() from error
    if len(data) > KEY_BYTES:
        raise _unusable()
    return data


def _decrypted(pem: bytes, passphrase: bytes) -> object:
    try:
        return load_pem_private_key(pem, password=passphrase)
    except (ValueError, TypeError) as error:
        raise CorralError(
            "passphrase_wrong",
            "the passphrase does not open the key",
            remedy="type it again, or name its file: --passphrase-file",
        ) from error


def _unusable() -> CorralError:
    return CorralError(
        "signing_key_unusable",
        "the key or certificate file cannot be used",
        remedy="a PEM file with an ECDSA key on P-256, P-384 or P-521, and certificates that fit",
    )
