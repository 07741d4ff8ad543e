"""`corral audit`: what was admitted, decided anew, refused and removed, and whether it all fits.

Trust: operator side. Input: the signed receipts and the signed journal; names of rows and lines
that do not verify are printed without control characters.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.failure import typed_failure
from corral.cli.options import HomeOption, JsonOption, open_home
from corral.cli.terminal import print_entries, print_error, print_json, print_note, print_table
from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.admission.journal import Entry
    from corral.core.home import Home

app = typer.Typer(no_args_is_help=True, help="Admissions: what came in, what left, who did it.")


@app.command("list")
def list_(
    model: Annotated[
        str | None, typer.Option("--model", help="Only this name.", show_default=False)
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List admissions, new decisions, refusals and removals, oldest first.

    Example: corral audit list --model smollm2-135m-instruct --json
    """
    import msgspec

    from corral.admission.audit import list_admissions

    found = [e for e in list_admissions(_home(home)) if model in {None, e.name}]
    if as_json:
        print_json([{**msgspec.to_builtins(e), "time": _time(e.at)} for e in found])
        return
    print_entries(
        (
            (
                (
                    _time(e.at), f"{e.what} {e.code}".strip(), e.name,
                    "held" if e.outcome == "hold" else e.trust or "-", _by(e),
                ),
                "  ".join(
                    [e.sha256[:12] or "-", e.source or "-", *(f"signed by {s}" for s in e.signers)]
                ),
            )
            for e in found
        ),
        empty="nothing was admitted yet",
    )  # fmt: skip


@app.command("verify")
def verify(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check each receipt's signature, its file, and the journal of admission against each other.

    Content is not hashed: that is corral fsck.

    Exit code 0 all fits, 1 something does not, 2 could not check.

    Example: corral audit verify --json
    """
    from corral.admission.audit import verify_admissions

    try:
        audit = verify_admissions(_home(home))
    except (CorralError, OSError) as error:
        print_error(typed_failure(error), as_json=as_json)
        raise typer.Exit(2) from error
    if as_json:
        print_json({
            "receipts": audit.receipts,
            "journal_lines": audit.lines,
            "discrepancies": [
                {"kind": one.kind, "where": one.where, "message": one.message}
                for one in audit.discrepancies
            ],
        })  # fmt: skip
    else:
        print_table(
            ("WHAT", "WHERE", "MESSAGE"),
            ((one.kind, one.where, one.message) for one in audit.discrepancies),
            empty="all fits",
        )
        print_note(f"{audit.receipts} receipts and {audit.lines} lines of the journal were checked")
    if audit.discrepancies:
        raise typer.Exit(1)


def _home(chosen: str | None) -> Home:
    from corral.state.schema import ensure_current

    place = open_home(chosen)
    ensure_current(place.database)  # an empty file, or one of an older version, is made whole
    return place


def _time(unix_s: int) -> str:
    return f"{datetime.fromtimestamp(unix_s, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"


def _by(entry: Entry) -> str:
    if entry.uid < 0:
        return f"{entry.how} (from its receipt)"
    login = f", login {entry.login_uid}" if entry.login_uid not in {-1, entry.uid} else ""
    return f"{entry.how} uid {entry.uid}{login}"
