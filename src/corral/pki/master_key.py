"""The master key: 32 random bytes that wrap the data key of each tenant.

Trust: operator side makes it; the gateway [net] gets it as a secret. It encrypts nothing itself but
those keys (`tenancy.data_keys`), so that a tenant is wiped by destroying its own key.

Its file holds the key itself, or the key locked by a passphrase (`pki.master_key_lock`): one name,
so that there is never a plain key beside a locked one.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.atomic import leftover_of, write_atomically

MASTER_KEY_BYTES: Final = 32
LOCKED_MAGIC: Final = b"corral master 1\n"
_FILE_BYTES: Final = 4096
"""More than either form has."""


def master_key_file(home: Home) -> Path:
    """Return the key's path, 0600."""
    return home.secrets / "master.key"


def ensure_master_key(home: Home) -> None:
    """Make the key if it is missing; remove what a write that was cut off has left of one.

    Raises:
        CorralError: codes `master_key_unreadable`, `state_write_failed`.
    """
    if master_key_file(home).exists():
        read_master_key(home)
        leftover_of(master_key_file(home)).unlink(missing_ok=True)
    else:
        write_atomically(master_key_file(home), secrets.token_bytes(MASTER_KEY_BYTES), mode=0o600)


def read_master_key(home: Home) -> bytes:
    """Return what the key's file holds: the key, or the locked key (`is_locked`).

    Raises:
        CorralError: code `master_key_unreadable`.
    """
    try:
        with master_key_file(home).open("rb") as file:
            content = file.read(_FILE_BYTES)
    except OSError as error:
        raise unreadable() from error
    return content if is_locked(content) else check_master_key(content)


def is_locked(content: bytes) -> bool:
    """Return whether what the key's file holds is the locked key."""
    return len(content) != MASTER_KEY_BYTES and content.startswith(LOCKED_MAGIC)


def load_master_key(home: Home) -> bytes:
    """Read a key that is not locked.

    Raises:
        CorralError: codes `master_key_unreadable`, `master_key_locked`.
    """
    content = read_master_key(home)
    if is_locked(content):
        raise CorralError(
            "master_key_locked",
            "the master key is locked by a passphrase",
            remedy="give it: corral up --passphrase-file FILE, or start it at a terminal",
        )
    return content


def check_master_key(key: bytes) -> bytes:
    """Return the key if it is one.

    Raises:
        CorralError: code `master_key_unreadable`.
    """
    if len(key) != MASTER_KEY_BYTES:
        raise unreadable()
    return key


def unreadable() -> CorralError:
    """Return the error of a file that holds no key."""
    return CorralError(
        "master_key_unreadable",
        "the key that protects the tenants' keys cannot be read",
        remedy="restore the state folder's secrets/master.key from a backup",
    )
