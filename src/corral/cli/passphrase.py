"""A passphrase of the operator's: from a file, standard input, a descriptor or the terminal.

Trust: operator side. Input: files that the operator names. None is taken from an argument or the
environment, and none is in a message.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.pki.passphrase import Passphrase

SHORTEST: Final = 12
"""Characters of a passphrase that locks: whoever gets the file can guess for years."""
_FILE_BYTES: Final = 1 << 16
_STDIN: Final = Path("-")


def asked_passphrase(place: Path | None, *, what: str, new: bool) -> Passphrase:
    """Return a passphrase.

    Args:
        place: file with it, `-` for standard input; nothing: the terminal is asked.
        what: what the terminal is asked for, such as `of the backup`.
        new: it is to lock something: it must be long enough, and the terminal is asked twice.

    Raises:
        CorralError: codes `bad_passphrase`, `passphrase_missing`, `secret_file_unreadable`.
    """
    from corral.pki.passphrase import Passphrase as Secret

    if place is not None:
        secret = read_secret_file(place).removesuffix(b"\n").removesuffix(b"\r")
    elif sys.stdin.isatty():
        secret = getpass.getpass(f"Passphrase {what}: ").encode()
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


def read_secret_file(place: Path) -> bytes:
    """Return the bytes of a small file, or of standard input for `-`.

    Raises:
        CorralError: codes `secret_file_unreadable`, `bad_passphrase` (it is larger than 64 KiB).
    """
    try:
        if place == _STDIN:
            data = sys.stdin.buffer.read(_FILE_BYTES + 1)
        else:
            with place.open("rb") as file:
                data = file.read(_FILE_BYTES + 1)
    except OSError as error:
        raise CorralError(
            "secret_file_unreadable", "the file with the passphrase or key cannot be read"
        ) from error
    if len(data) > _FILE_BYTES:
        raise CorralError("bad_passphrase", "that file is too large for a passphrase or key")
    return data
