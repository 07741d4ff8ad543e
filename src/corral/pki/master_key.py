"""The master key: 32 random bytes that wrap the data key of each tenant.

Trust: operator side makes it; the gateway [net] gets it as a secret. It encrypts nothing itself but
those keys (`tenancy.data_keys`), so that a tenant is wiped by destroying its own key.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.atomic import write_atomically

MASTER_KEY_BYTES: Final = 32


def master_key_file(home: Home) -> Path:
    """Return the key's path, 0600."""
    return home.secrets / "master.key"


def ensure_master_key(home: Home) -> None:
    """Make the key if it is missing.

    Raises:
        CorralError: codes `master_key_unreadable`, `state_write_failed`.
    """
    if master_key_file(home).exists():
        load_master_key(home)
    else:
        write_atomically(master_key_file(home), secrets.token_bytes(MASTER_KEY_BYTES), mode=0o600)


def load_master_key(home: Home) -> bytes:
    """Read the key.

    Raises:
        CorralError: code `master_key_unreadable`.
    """
    try:
        return check_master_key(master_key_file(home).read_bytes())
    except OSError as error:
        raise _unreadable() from error


def check_master_key(key: bytes) -> bytes:
    """Return the key if it is one.

    Raises:
        CorralError: code `master_key_unreadable`.
    """
    if len(key) != MASTER_KEY_BYTES:
        raise _unreadable()
    return key


def _unreadable() -> CorralError:
    return CorralError(
        "master_key_unreadable",
        "the key that protects the tenants' keys cannot be read",
        remedy="restore the state folder's secrets/master.key from a backup",
    )
