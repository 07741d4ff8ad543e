"""`corral master-key`: a passphrase for the key that protects what tenants have stored.

Trust: operator side. Input: the operator's command line, files and terminal; no passphrase is in an
argument or the environment. A server that runs keeps the key that it was started with, so that all
of this is also done beside one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from corral.cli.no_core import no_core_file
from corral.cli.options import HomeOption, JsonOption, open_home
from corral.cli.terminal import print_json, print_note
from corral.core.errors import CorralError
from corral.core.home import Home

app = typer.Typer(
    no_args_is_help=True, help="A passphrase for the key that protects what tenants have stored."
)
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="File with the passphrase; - is stdin. Else the terminal is asked.",
        show_default=False,
    ),
]


@app.command("status")
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Say whether the master key is locked.

    Example: corral master-key status
    """
    from corral.pki.master_key import is_locked, read_master_key

    locked = is_locked(read_master_key(open_home(home)))
    if as_json:
        print_json({"locked": locked})
        return
    print_note(
        "the master key is locked: corral up needs its passphrase" if locked
        else "the master key is a plain file: whoever copies the state folder has it"
    )  # fmt: skip


@app.command("lock")
def lock(
    passphrase_file: PassphraseOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Lock the master key by a passphrase of at least 12 characters.

    From then on every start of the server needs it, and nothing replaces it if it is lost.

    Example: corral master-key lock --passphrase-file /root/master.pass
    """
    from corral.cli.passphrase import asked_passphrase
    from corral.pki.master_key import is_locked, read_master_key
    from corral.pki.master_key_lock import lock_key

    place = open_home(home)

    def refuse_locked(content: bytes) -> bytes:
        if is_locked(content):
            raise CorralError(
                "master_key_is_locked", "the master key is locked already",
                remedy="another passphrase: corral master-key change",
            )  # fmt: skip
        return content

    refuse_locked(read_master_key(place))  # before anybody is asked
    with no_core_file():
        secret = asked_passphrase(passphrase_file, what="for the master key", new=True)
        _replace(place, lambda content: lock_key(refuse_locked(content), secret))
    _say("locked", as_json)
    if not as_json:
        print_note("copies and backups of before still hold the plain key: delete them")


@app.command("unlock")
def unlock(
    passphrase_file: PassphraseOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Turn the locked master key back into a plain file.

    Example: corral master-key unlock
    """
    from corral.cli.passphrase import asked_passphrase
    from corral.pki.master_key_lock import open_key

    place = _locked_home(home)
    with no_core_file():
        secret = asked_passphrase(passphrase_file, what="of the master key", new=False)
        _replace(place, lambda content: open_key(content, secret))
    _say("unlocked", as_json)


@app.command("change")
def change(
    passphrase_file: PassphraseOption = None,
    new_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--new-passphrase-file",
            metavar="FILE",
            help="File with the new passphrase. Else the terminal is asked.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lock the master key by another passphrase.

    A copy of the file that was made before still opens with the old one.

    Example: corral master-key change
    """
    from corral.cli.passphrase import asked_passphrase
    from corral.pki.master_key_lock import lock_key, open_key

    place = _locked_home(home)
    with no_core_file():
        old = asked_passphrase(passphrase_file, what="of the master key", new=False)
        new = asked_passphrase(new_passphrase_file, what="for the master key, new", new=True)
        _replace(place, lambda content: lock_key(open_key(content, old), new))
    _say("changed", as_json)


def _locked_home(home: str | None) -> Home:
    from corral.pki.master_key import is_locked, read_master_key
    from corral.pki.master_key_lock import not_locked

    place = open_home(home)
    if not is_locked(read_master_key(place)):
        raise not_locked()
    return place


def _replace(home: Home, changed: Callable[[bytes], bytes]) -> None:
    from corral.pki.atomic import write_atomically
    from corral.pki.master_key import master_key_file, read_master_key
    from corral.state.setup_lock import setup_lock

    with setup_lock(home):
        write_atomically(master_key_file(home), changed(read_master_key(home)), mode=0o600)


def _say(done: str, as_json: bool) -> None:
    if as_json:
        print_json({"master_key": done})
        return
    what = "passphrase of the master key" if done == "changed" else "master key"
    print_note(f"the {what} is {done}")
