"""The passphrase or the age keys of a backup: from a file, a descriptor or the terminal.

Trust: operator side. Input: files that the operator names. No secret is taken from an argument or
the environment, and none is in a message.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.backup.lockbox import Lock, Opener, Passphrase

SHORTEST: Final = 12
"""Characters of a passphrase that locks: whoever gets the file can guess for years."""
_FILE_BYTES: Final = 1 << 16


def asked_lock(passphrase_file: Path | None, recipients: list[str] | None) -> Lock:
    """Return what locks a backup.

    Raises:
        CorralError: codes `bad_recipient`, `bad_passphrase`, `passphrase_missing`,
            `backup_key_unreadable`.
    """
    if not recipients:
        return _passphrase(passphrase_file, new=True)
    from pyrage import RecipientError
    from pyrage.x25519 import Recipient

    if passphrase_file is not None:
        raise _both()
    try:
        return [Recipient.from_str(one) for one in recipients]
    except RecipientError as error:
        raise CorralError(
            "bad_recipient", "that is no X25519 recipient of age",
            remedy="make a key pair: age-keygen -o key.txt; its public key is age1…",
        ) from error  # fmt: skip


def asked_opener(passphrase_file: Path | None, identity_file: Path | None) -> Opener:
    """Return what opens a backup.

    Raises:
        CorralError: codes `bad_identity`, `bad_passphrase`, `passphrase_missing`,
            `backup_key_unreadable`.
    """
    if identity_file is None:
        return _passphrase(passphrase_file, new=False)
    from pyrage import IdentityError
    from pyrage.x25519 import Identity

    if passphrase_file is not None:
        raise _both()
    try:
        lines = _read(identity_file).decode("ascii").split()
        found = [Identity.from_str(one) for one in lines if one.startswith("AGE-SECRET-KEY-1")]
    except (UnicodeDecodeError, IdentityError):
        found = []
    if not found:
        raise CorralError(
            "bad_identity", "there is no X25519 key of age in that file",
            remedy="name the file that age-keygen has written",
        )  # fmt: skip
    return found


def _passphrase(place: Path | None, *, new: bool) -> Passphrase:
    from corral.backup.lockbox import Passphrase as Secret

    if place is not None:
        secret = _read(place).removesuffix(b"\n").removesuffix(b"\r")
    elif sys.stdin.isatty():
        secret = getpass.getpass("Passphrase of the backup: ").encode()
        if new and getpass.getpass("Once more: ").encode() != secret:
            raise CorralError("bad_passphrase", "these were two different passphrases")
    else:
        raise CorralError(
            "passphrase_missing", "there is no terminal to ask for the passphrase",
            remedy="give it in a file or a descriptor: --passphrase-file FILE, or /dev/fd/N",
        )  # fmt: skip
    if not secret or (new and len(secret.decode(errors="replace")) < SHORTEST):
        raise CorralError(
            "bad_passphrase", f"the passphrase is shorter than {SHORTEST} characters, or empty",
            remedy="five random words are enough",
        )  # fmt: skip
    return Secret(secret)


def _read(place: Path) -> bytes:
    try:
        with place.open("rb") as file:
            data = file.read(_FILE_BYTES + 1)
    except OSError as error:
        raise CorralError(
            "backup_key_unreadable", "the file with the passphrase or key cannot be read"
        ) from error
    if len(data) > _FILE_BYTES:
        raise CorralError("bad_passphrase", "that file is too large for a passphrase or key")
    return data


def _both() -> CorralError:
    return CorralError(
        "bad_passphrase", "a backup has a passphrase or age keys, not both",
        remedy="leave one of the two out",
    )  # fmt: skip
