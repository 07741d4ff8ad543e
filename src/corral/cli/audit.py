"""`corral audit`: who did what, whether the records are whole, and what was admitted.

Trust: operator side. Input: the audit log, the signed receipts and the signed journal; what does
not verify is printed without control characters.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from corral.cli.failure import typed_failure
from corral.cli.options import HomeOption, JsonOption, open_state
from corral.cli.terminal import (
    plain_line,
    print_entries,
    print_error,
    print_json,
    print_note,
    print_table,
    screen,
)
from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.admission.journal import Entry
    from corral.audit.record import Record
    from corral.audit.verify import ChainReport

app = typer.Typer(no_args_is_help=True, help="Audit: who did what, and that nothing was changed.")

_TAIL: int = 50
TenantOption = Annotated[
    str | None, typer.Option("--tenant", help="Only this tenant's records.", show_default=False)
]


@app.command("tail")
def tail(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    tenant: TenantOption = None,
    home: HomeOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document for each record.")
    ] = False,
) -> None:
    """Show the newest 50 records of requests and of the operator's commands, oldest first.

    Example: corral audit tail -f --tenant acme
    """
    from collections import deque

    from corral.audit.export import json_line
    from corral.audit.reading import follow_records, read_records
    from corral.audit.selection import Wanted

    place, wanted = open_state(home), Wanted(tenant=tenant or "")
    records: Iterator[Record] = iter(deque(read_records(place, wanted), _TAIL))
    for source in (records, follow_records(place, wanted) if follow else ()):
        for record in source:
            text = json_line(record) if as_json else plain_line(_sentence(record))
            screen().print(text, soft_wrap=True, markup=False, highlight=False)


@app.command("export")
def export(
    form: Annotated[
        Literal["jsonl", "syslog"],
        typer.Option("--format", help="JSON lines, or syslog messages (RFC 5424)."),
    ] = "jsonl",
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Not older: 2026-11-29, or 90m, 12h, 30d, 4w ago.",
            show_default=False,
        ),
    ] = None,
    tenant: TenantOption = None,
    home: HomeOption = None,
) -> None:  # fmt: skip
    """Write the records of requests and commands to stdout, one a line, oldest first.

    Exports what is there; whether that is whole says corral audit verify.

    Example: corral audit export --format syslog --since 24h > audit.log
    """
    import sys

    from corral.audit.export import json_line, syslog_line
    from corral.audit.reading import read_records
    from corral.audit.selection import Wanted

    place = open_state(home)
    wanted = Wanted(since_ms=_since_ms(since) if since else 0, tenant=tenant or "")
    host = socket.gethostname()
    for record in read_records(place, wanted):
        line = json_line(record) if form == "jsonl" else syslog_line(record, host)
        sys.stdout.write(line + "\n")


@app.command("admissions")
def admissions(
    model: Annotated[
        str | None, typer.Option("--model", help="Only this name.", show_default=False)
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List admissions, new decisions, refusals and removals of models, oldest first.

    Example: corral audit admissions --model smollm2-135m-instruct --json
    """
    import msgspec

    from corral.admission.audit import list_admissions

    found = [e for e in list_admissions(open_state(home)) if model in {None, e.name}]
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
    """Check that no record of the audit log was edited, removed, moved or cut off; and admissions.

    Of admissions each receipt's signature, its file, and the journal are checked against each
    other. Content is not hashed: that is corral fsck.

    Exit code 0 all fits, 1 something does not, 2 could not check.

    Example: corral audit verify --json
    """
    from corral.admission.audit import verify_admissions
    from corral.audit.whole import verify_log

    try:
        place = open_state(home)
        chains = verify_log(place)
        audit = verify_admissions(place)
    except (CorralError, OSError) as error:
        print_error(typed_failure(error), as_json=as_json)
        raise typer.Exit(2) from error
    found = [
        *(
            (f.kind, f"{chain.chain}: {f.where}", f.message)
            for chain in chains
            for f in chain.faults
        ),
        *((one.kind, one.where, one.message) for one in audit.discrepancies),
    ]
    if as_json:
        print_json({
            "chains": [_chain_document(chain) for chain in chains],
            "receipts": audit.receipts,
            "journal_lines": audit.lines,
            "discrepancies": [
                {"kind": kind, "where": where, "message": message} for kind, where, message in found
            ],
        })  # fmt: skip
    else:
        print_table(("WHAT", "WHERE", "MESSAGE"), found, empty="all fits")
        for chain in chains:
            print_note(_chain_note(chain))
        print_note(f"{audit.receipts} receipts and {audit.lines} lines of the journal were checked")
    if found:
        raise typer.Exit(1)


def _chain_document(chain: ChainReport) -> dict[str, object]:
    return {
        "chain": chain.chain,
        "first": chain.first,
        "last": chain.last,
        "sealed": chain.sealed,
        "unclean_ends": [
            {"first": gap.first, "last": gap.last, "lost_bytes": gap.lost_bytes}
            for gap in chain.gaps
        ],
    }


def _chain_note(chain: ChainReport) -> str:
    if not chain.last:
        return f"{chain.chain}: no record yet"
    notes = [f"{chain.chain}: records {chain.first} to {chain.last}, signed to {chain.sealed}"]
    for gap in chain.gaps:
        what = f"records {gap.first} to {gap.last} were" if gap.last >= gap.first else "nothing was"
        notes.append(
            f"a process ended unclean, or still runs, after record {gap.last}: {what} "
            f"not signed by then, {gap.lost_bytes} bytes were no whole record"
        )
    return "; ".join(notes)


def _sentence(record: Record) -> str:
    from corral.audit.export import moment

    who = record.tenant or "-"
    if record.chain == "operator":
        who = f"operator uid {record.uid}" if record.uid >= 0 else "operator"
        who += f" on {record.tenant}" if record.tenant else ""
    words = [moment(record), record.kind, who, record.key, record.address, record.action]
    words += [record.model, str(record.status or ""), record.code, record.id]
    words += [f"{name}={value}" for name, value in record.arguments.items()]
    words += [f"{record.count} more" if record.count else ""]
    return "  ".join(word for word in words if word)


def _since_ms(text: str) -> int:
    from corral.cli.key import parse_span

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.now(UTC) - parse_span(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _time(unix_s: int) -> str:
    return f"{datetime.fromtimestamp(unix_s, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"


def _by(entry: Entry) -> str:
    if entry.uid < 0:
        return f"{entry.how} (from its receipt)"
    login = f", login {entry.login_uid}" if entry.login_uid not in {-1, entry.uid} else ""
    return f"{entry.how} uid {entry.uid}{login}"
