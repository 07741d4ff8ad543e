"""The passphrase or the age keys of a backup.

Trust: operator side. Input: files that the operator names. No secret is taken from an argument or
the environment, and none is in a message.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from corral.cli.passphrase import asked_passphrase, read_secret_file
from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.backup.lockbox import Lock, Opener


def asked_lock(passphrase_file: Path | None, recipients: list[str] | None) -> Lock:
    """Return what locks a backup.

    Raises:
        CorralError: codes `bad_recipient`, `bad_passphrase`, `passphrase_missing`,
            `secret_file_unreadable`.
    """
    if not recipients:
        return asked_passphrase(passphrase_file, what="of the backup", new=True)
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
            `secret_file_unreadable`.
    """
    if identity_file is None:
        return asked_passphrase(passphrase_file, what="of the backup", new=False)
    from pyrage import IdentityError
    from pyrage.x25519 import Identity

    if passphrase_file is not None:
        raise _both()
    try:
        lines = read_secret_file(identity_file).decode("ascii").split()
        found = [Identity.from_str(one) for one in lines if one.startswith("AGE-SECRET-KEY-1")]
    except (UnicodeDecodeError, IdentityError):
        found = []
    if not found:
        raise CorralError(
            "bad_identity", "there is no X25519 key of age in that file",
            remedy="name the file that age-keygen has written",
        )  # fmt: skip
    return found


def _both() -> CorralError:
    return CorralError(
        "bad_passphrase", "a backup has a passphrase or age keys, not both",
        remedy="leave one of the two out",
    )  # fmt: skip
