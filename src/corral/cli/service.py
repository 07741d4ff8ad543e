"""`corral service`: corral as a service of systemd.

Trust: operator side. Input: the operator's command line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from corral.cli.options import JsonOption
from corral.cli.terminal import print_json, print_note
from corral.service import installation
from corral.service.layout import DEFAULT_LISTEN, Layout, this_program

app = typer.Typer(
    no_args_is_help=True,
    help="Run corral by systemd: hardened units, socket activation, an own user without privilege.",
)
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root", metavar="DIR", help="Treat this folder as /, e.g. of an image.",
        show_default=False,
    ),
]  # fmt: skip
UserOption = Annotated[
    bool, typer.Option("--user", help="For this user's systemd, not for the whole machine.")
]
ProgramOption = Annotated[
    Path | None,
    typer.Option(
        "--program", metavar="FILE", help="The corral command as the service will see it.",
        show_default=False,
    ),
]  # fmt: skip


@app.command("install")
def install(
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where systemd listens.")
    ] = DEFAULT_LISTEN,
    user: UserOption = False,
    root: RootOption = None,
    program: ProgramOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the units, the system user and the state folder; safe to run again.

    Example: corral service install --listen 0.0.0.0:443
    """
    layout = Layout.choose(personal=user, root=root, program=program, listen=listen)
    _report(installation.install(layout), as_json=as_json)
    if not as_json:
        scope = " --user" if user else ""
        print_note(f"start it:     systemctl{scope} enable --now corral.socket")
        print_note(f"first keys:   {layout.state}/first-keys.json, after the first start")
        if not user:
            print_note(f"other verbs:  sudo -u {installation.USER} corral pull SOURCE")


@app.command("upgrade")
def upgrade(
    user: UserOption = False,
    root: RootOption = None,
    program: ProgramOption = None,
    restart: Annotated[
        bool,
        typer.Option("--restart/--no-restart", help="Restart what runs; else say how it is done."),
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Replace the units by those of this version, and restart what runs; address and drop-ins stay.

    Example: corral service upgrade
    """
    layout = Layout.choose(personal=user, root=root, program=program, listen=DEFAULT_LISTEN)
    _report(installation.upgrade(layout, restart=restart), as_json=as_json)


@app.command("uninstall")
def uninstall(
    user: UserOption = False,
    root: RootOption = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the state folder too: models, keys, usage.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --purge.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop the service and remove its units; the state folder stays unless --purge.

    Example: corral service uninstall
    """
    layout = Layout.choose(personal=user, root=root, program=this_program(), listen=DEFAULT_LISTEN)
    if purge and not yes:
        typer.confirm(f"Remove {layout.state} with all models and keys?", abort=True, err=True)
    _report(installation.uninstall(layout, purge=purge), as_json=as_json)


@app.command("show")
def show(
    user: UserOption = False,
    root: RootOption = None,
    program: ProgramOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the units of this version and which of them are installed.

    Example: corral service show
    """
    layout = Layout.choose(
        personal=user, root=root, program=program or this_program(), listen=DEFAULT_LISTEN
    )
    states = installation.status(layout)
    changes = [str(path) for path in installation.drop_ins(layout)]
    if as_json:
        print_json({"files": states, "drop_ins": changes})
        return
    for path, text in layout.files().items():
        typer.echo(f"### {path}: {states[str(path)]}\n{text}")
    for change in changes:
        typer.echo(f"### {change}: your own")


def _report(done: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"done": done})
        return
    for line in done or ["nothing to do"]:
        print_note(line)
