"""The form of an API key and how it is hashed.

Trust: gateway [net] and operator side. A token is shown once and never stored, logged or put into
an error. Input: untrusted text, refused by length and pattern before anything is computed.

    token  = "sk-corral-" prefix "-" secret
    prefix = 8 of a-z 0-9, the first a letter: public, finds the stored hash
    secret = 64 hexadecimal digits, 256 random bits
    stored = HMAC-SHA256(pepper, token)

A plain keyed hash is right here: the secret has 256 bits of entropy, so there is nothing for a
slow password hash to protect, and the pepper (a file outside the database) makes a stolen
database useless for checking guesses.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError

PEPPER_BYTES: Final = 32
HASH_BYTES: Final = 32
_PREFIX_CHARACTERS: Final = 8
_TOKEN: Final = re.compile(r"sk-corral-([a-z][a-z0-9]{7})-[0-9a-f]{64}")
_SECRET: Final = re.compile(r"[a-z][a-z0-9]{7}-[0-9a-f]{64}")
_TOKEN_CHARACTERS: Final = len("sk-corral-") + _PREFIX_CHARACTERS + 1 + 64


def new_token() -> tuple[str, str]:
    """Return (token, prefix) of a new key."""
    alphabet = string.ascii_lowercase + string.digits
    prefix = secrets.choice(string.ascii_lowercase) + "".join(
        secrets.choice(alphabet) for _ in range(_PREFIX_CHARACTERS - 1)
    )
    return token_of(prefix), prefix


def token_of(prefix: str) -> str:
    """Return a token with a new secret for a key that has its prefix already."""
    return f"sk-corral-{prefix}-{secrets.token_hex(32)}"


def parse_token(text: str) -> str | None:
    """Return the lookup prefix of a well-formed token, else None."""
    if len(text) != _TOKEN_CHARACTERS:
        return None
    match = _TOKEN.fullmatch(text)
    return match[1] if match else None


def holds_secret(text: str) -> bool:
    """Return whether a key's secret stands anywhere in a text."""
    return _SECRET.search(text) is not None


def hash_token(pepper: bytes, token: str) -> bytes:
    """Return what is stored of a token."""
    return hmac.digest(pepper, token.encode(), hashlib.sha256)


def load_pepper(path: Path) -> bytes:
    """Read the pepper.

    Raises:
        CorralError: codes `pepper_missing`, `bad_pepper`.
    """
    try:
        return check_pepper(path.read_bytes())
    except OSError as error:
        raise CorralError(
            "pepper_missing",
            "the key pepper cannot be read; without it no API key can be checked",
            remedy="restore the state folder's secrets/pepper from a backup, or run: corral up",
        ) from error


def check_pepper(pepper: bytes) -> bytes:
    """Return `pepper` if it has the right length.

    Raises:
        CorralError: code `bad_pepper`.
    """
    if len(pepper) != PEPPER_BYTES:
        raise CorralError(
            "bad_pepper",
            f"the key pepper must have {PEPPER_BYTES} bytes",
            remedy="restore the state folder's secrets/pepper from a backup",
        )
    return pepper
