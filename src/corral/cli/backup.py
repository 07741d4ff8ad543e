"""`corral backup` and `corral restore`: one encrypted file for a whole installation.

Trust: operator side. Input: the operator's command line; of `restore`, a file that anybody may have
written.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.options import HomeOption, JsonOption, open_home
from corral.cli.terminal import print_json, print_note, size_text
from corral.core.errors import CorralError
from corral.core.home import Home

if TYPE_CHECKING:
    from corral.audit.record import Record

_RESTORE = "installation:restore"
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="File or descriptor (/dev/fd/N) with the passphrase; else the terminal is asked.",
        show_default=False,
    ),
]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to make, mode 0600.")],
    passphrase_file: PassphraseOption = None,
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--recipient",
            metavar="AGE",
            help="age public key (age1…) in place of a passphrase. May be repeated.",
            show_default=False,
        ),
    ] = None,
    with_models: Annotated[
        bool, typer.Option("--with-models", help="Also the models' bytes.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an encrypted backup of the installation, also while its server runs.

    Everything but images, logs, quarantine and the models' bytes. It holds all secrets.

    Example: corral backup /mnt/safe/corral.backup --passphrase-file /root/backup.pass
    """
    place = open_home(home)
    from corral.backup.making import write_backup
    from corral.cli.backup_key import asked_lock

    lock = asked_lock(passphrase_file, recipient)
    made = write_backup(place, file.absolute(), lock, models=with_models, force=force)
    size = file.stat().st_size
    if as_json:
        print_json({"files": len(made.files), "bytes": size, "models": made.models})
        return
    print_note(f"{len(made.files)} files are in the backup of {size_text(size)}")
    if not made.models:
        print_note("the models' bytes are not in it: --with-models")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What corral backup has made.")],
    passphrase_file: PassphraseOption = None,
    identity_file: Annotated[
        Path | None,
        typer.Option(
            "--identity-file",
            metavar="FILE",
            help="age key file, for a backup that was made with --recipient.",
            show_default=False,
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Move the state folder that is there aside, to HOME.before-restore-TIME.",
        ),
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put an installation back from a backup, after all of it was verified.

    The server must be stopped. Nothing is deleted, and on any failure nothing is changed.

    Example: corral restore /mnt/safe/corral.backup --home /srv/corral
    """
    from corral.audit.operator import end_command
    from corral.backup.restoring import restore_backup
    from corral.cli.backup_key import asked_opener

    place = Home.locate(home)
    opener = asked_opener(passphrase_file, identity_file)
    begun: list[Record] = []
    done = restore_backup(
        place,
        file.absolute(),
        opener,
        replace=replace,
        verified=lambda staged: begun.append(_begun(staged, place, replace=replace)),
    )
    end_command(place, begun[0], "ok")
    aside = str(done.aside) if done.aside else None
    if as_json:
        print_json(
            {
                "files": len(done.manifest.files), "made_at": done.manifest.made_at,
                "models": done.manifest.models, "aside": aside,
            }
        )  # fmt: skip
        return
    print_note(f"{len(done.manifest.files)} files are back")
    if aside:
        print_note(f"what was there is now {aside}; it holds secrets: delete it when you can")
    if not done.manifest.models:
        print_note("models' bytes are not in this backup: corral fsck names those to pull again")
    print_note("check it: corral fsck; corral audit verify")


def _begun(staged: Home, old: Home, *, replace: bool) -> Record:
    from corral.audit.operator import begin_command

    arguments = {"replace": "True"} if replace else {}
    if old.database.exists():
        # In the chain that is moved aside too, where it can be: a broken one is why one restores.
        with suppress(CorralError):
            begin_command(old, _RESTORE, "", arguments)
    return begin_command(staged, _RESTORE, "", arguments)
