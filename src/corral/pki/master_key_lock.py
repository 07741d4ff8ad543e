"""The master key under a passphrase: what is then in `master.key`, and how it is opened.

Trust: operator side. Input of opening: the state folder's file, which may be anybody's copy.
"""

from __future__ import annotations

from corral.core.errors import CorralError
from corral.pki.master_key import LOCKED_MAGIC, check_master_key, is_locked, unreadable
from corral.pki.passphrase import Passphrase, unwrap_secret, wrap_secret


def lock_key(key: bytes, lock: Passphrase) -> bytes:
    """Return the locked key; it was opened once more, since nobody can if it is wrong.

    Raises:
        CorralError: codes `master_key_unreadable`, `passphrase_wrong`.
    """
    locked = wrap_secret(LOCKED_MAGIC, check_master_key(key), lock)
    if open_key(locked, lock) != key:
        raise unreadable()
    return locked


def open_key(locked: bytes, opener: Passphrase) -> bytes:
    """Return the key.

    Raises:
        CorralError: codes `passphrase_wrong` (or a byte of the file was changed),
            `master_key_unreadable`, `master_key_not_locked`.
    """
    if not is_locked(locked):
        raise not_locked()
    try:
        key = unwrap_secret(LOCKED_MAGIC, locked, opener)
    except ValueError:
        raise unreadable() from None
    if key is None:
        raise CorralError(
            "passphrase_wrong",
            "the passphrase does not open the master key, or its file was changed",
            remedy="try again; without the passphrase nothing opens what tenants have stored",
        )
    return check_master_key(key)


def not_locked() -> CorralError:
    """Return the error of who has a passphrase for a key that has none."""
    return CorralError(
        "master_key_not_locked",
        "the master key is not locked by a passphrase",
        remedy="lock it: corral master-key lock; or leave --passphrase-file out",
    )
