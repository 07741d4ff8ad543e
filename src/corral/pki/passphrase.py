"""A small secret locked by a passphrase: scrypt (RFC 7914), then AES-256-GCM.

Trust: operator side. Input of opening: a file that anybody may have written; its cost is bounded.

    n bytes    a magic of the caller's, so that one kind of file is never taken for another
    1 byte     log2 of scrypt's N; r = 8, p = 1
    16 bytes   salt
    12 bytes   nonce
    rest       the secret and a tag of 16 bytes, AES-256-GCM; all before it is associated data

The cost is fixed and not measured: age's own passphrases are set to what takes this machine a
second at that moment, which a busy machine makes weak, and an idle one too dear to open on another.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

COST: Final = 17
"""log2 of scrypt's N: 128 MiB of memory and some tenths of a second for each guess (OWASP)."""
_COSTS: Final = range(10, 21)
_SALT: Final = 16
_NONCE: Final = 12
OVERHEAD: Final = 1 + _SALT + _NONCE + 16
"""Bytes besides magic and secret."""


@dataclass(frozen=True, slots=True)
class Passphrase:
    """What locks and opens by a passphrase.

    Attributes:
        secret: UTF-8 bytes of it.
        cost: log2 of scrypt's N when locking.
    """

    secret: bytes
    cost: int = COST

    def __repr__(self) -> str:
        return "Passphrase(…)"


def wrap_secret(magic: bytes, secret: bytes, lock: Passphrase) -> bytes:
    """Return the secret locked, `OVERHEAD` bytes longer than magic and secret."""
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    head = magic + bytes([lock.cost]) + salt + nonce
    return head + AESGCM(_derive(lock.secret, salt, lock.cost)).encrypt(nonce, secret, head)


def unwrap_secret(magic: bytes, wrapped: bytes, opener: Passphrase) -> bytes | None:
    """Return the secret; nothing if the passphrase is another one, or a byte was changed.

    Raises:
        ValueError: no such file, one that was cut, or of a cost that nobody here asked for.
    """
    salt_at = len(magic) + 1
    nonce_at, bound = salt_at + _SALT, salt_at + _SALT + _NONCE
    if len(wrapped) < len(magic) + OVERHEAD or not wrapped.startswith(magic):
        raise ValueError("not locked by a passphrase")
    cost = wrapped[len(magic)]
    if cost not in _COSTS:
        raise ValueError("a cost out of range")
    key = _derive(opener.secret, wrapped[salt_at:nonce_at], cost)
    try:
        return AESGCM(key).decrypt(wrapped[nonce_at:bound], wrapped[bound:], wrapped[:bound])
    except InvalidTag:
        return None


def _derive(secret: bytes, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=1 << cost, r=8, p=1).derive(secret)
