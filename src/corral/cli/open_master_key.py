"""The master key for a server that is about to start, opened by its passphrase if it has one.

Trust: operator side. Input: the operator's command line, terminal and service manager.
A child opens it and ends: what goes on beside the server is a copy of this process, and has neither
passphrase nor key in its memory.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

from corral.cli.no_core import no_core_file
from corral.cli.terminal import print_note
from corral.cli.up_unsafe import work_apart
from corral.control.sealed_key import key_memory, seal_key
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.master_key import is_locked, load_master_key, master_key_file, read_master_key

CREDENTIAL: Final = "corral-passphrase"
"""Name of the passphrase among the credentials of a service (systemd.exec(5), LoadCredential=)."""
_DONE: Final = b"done"


def open_master_key(home: Home, passphrase_file: Path | None) -> int:
    """Return a descriptor of sealed memory that holds the open key; -1 where there is none yet.

    A locked key's passphrase is taken from `passphrase_file`, else from the service manager's
    credentials, else from the terminal.

    Raises:
        CorralError: codes `master_key_locked` (nobody gave the passphrase), `passphrase_wrong`,
            `master_key_not_locked` (a file with it was named in vain), `master_key_unreadable`,
            `master_key_unopened`, `bad_passphrase`, `secret_file_unreadable`.
    """
    there = master_key_file(home).exists()
    credential = _credential()
    if not there or not is_locked(read_master_key(home)):
        if passphrase_file is not None:
            from corral.pki.master_key_lock import not_locked

            raise not_locked()
        if credential is not None:
            print_note("the passphrase of the service is not used: corral master-key lock")
        return plain_master_key(home) if there else -1
    place = passphrase_file or credential
    if place is None and not sys.stdin.isatty():
        load_master_key(home)  # says that it is locked, and what to do
    fd = key_memory()
    said = work_apart(lambda: _opened(home, place, fd))
    if said != _DONE:
        os.close(fd)
        raise _failure(said)
    return fd


def plain_master_key(home: Home) -> int:
    """Return a descriptor of sealed memory that holds a key that is not locked.

    Raises:
        CorralError: codes `master_key_locked`, `master_key_unreadable`.
    """
    return seal_key(key_memory(), load_master_key(home))


def _opened(home: Home, place: Path | None, fd: int) -> bytes:
    """Open the key into `fd`; runs in a child. Return `_DONE`, or as JSON what went wrong."""
    from corral.cli.passphrase import asked_passphrase
    from corral.pki.master_key_lock import open_key

    try:
        with no_core_file():
            opener = asked_passphrase(place, what="of the master key", new=False)
            seal_key(fd, open_key(read_master_key(home), opener))
    except CorralError as error:
        document = {"code": error.code, "message": error.message, "remedy": error.remedy}
        return json.dumps(document).encode()
    return _DONE


def _failure(said: bytes) -> CorralError:
    if not said:
        return CorralError(
            "master_key_unopened", "opening the master key failed",
            remedy="it takes 128 MiB of memory: see that this process may have them",
        )  # fmt: skip
    error = json.loads(said)
    return CorralError(str(error["code"]), str(error["message"]), remedy=str(error["remedy"]))


def _credential() -> Path | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        found = Path(folder) / CREDENTIAL
        return found if found.exists() else None
    except OSError as error:
        raise CorralError(
            "secret_file_unreadable", "the service manager's credentials cannot be read"
        ) from error
