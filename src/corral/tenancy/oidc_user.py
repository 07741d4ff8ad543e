"""The number of a user of an OIDC provider: a keyed hash of issuer and `sub`; pure.

Trust: gateway [net] and operator side. Input: the `sub` of a token, whatever the provider wrote.
The number stands where the `sub` would: in the database, the audit log and the server's log. Who
has those, but not the pepper, can neither read a `sub` out of it nor check a guess.

    key     HKDF-SHA-256 of the pepper, for this alone: the same after a restart and a restore
    number  USERS + first 52 bits of HMAC-SHA-256(key, length of issuer in 4 bytes, issuer, sub)

Two of n users have one number with a probability of about n² / 2^53: for 10,000 users 1.1e-8.
They would share what counts for a key, and nothing else: their tenants and roles are their tokens'.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from corral.tenancy.data_keys import derive_key
from corral.tenancy.holder import USERS

SUBJECT_CHARACTERS: Final = 255
_PURPOSE: Final = b"corral oidc user v1\n"


def user_key(pepper: bytes) -> bytes:
    """Return the installation's key for numbers of users."""
    return derive_key(pepper, _PURPOSE)


def parse_subject(said: object) -> str | None:
    """Return a `sub` as it has to be, else None.

    OpenID Connect Core 1.0, section 2: a string of at most 255 ASCII characters, case-sensitive.
    An empty one is nobody either.
    """
    if not isinstance(said, str) or not said.isascii() or not 0 < len(said) <= SUBJECT_CHARACTERS:
        return None
    return said


def user_number(key: bytes, issuer: str, subject: str) -> int:
    """Return the number of one user of one provider (`tenancy.holder`).

    Args:
        key: of `user_key`.
        issuer: of the provider, as the configuration has it.
        subject: of `parse_subject`.
    """
    name = issuer.encode()
    said = len(name).to_bytes(4) + name + subject.encode()
    return USERS + (int.from_bytes(hmac.digest(key, said, hashlib.sha256)[:7]) >> 4)
