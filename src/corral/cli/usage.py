"""`corral usage`: what each tenant used.

Trust: operator side. Input: rows that the gateway's ledger wrote.
"""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.key import parse_span
from corral.cli.options import HomeOption, JsonOption, open_state
from corral.cli.terminal import print_json, print_note, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from corral.tenancy.usage import UsageTotal


def usage(
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Only this tenant.", show_default=False)
    ] = None,
    last: Annotated[
        str | None,
        typer.Option(
            "--last", metavar="SPAN", help="Only this long back: 12h, 30d.", show_default=False
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option("--by", metavar="GROUPS", help="Told apart by: tenant, key, model, day."),
    ] = "tenant,model",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            show_default=False,
            help="Draw tokens by day and tenant into FILE (.svg, .png); needs corral\\[plot].",
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show requests, tokens and engine time by tenant, key, model or day (UTC).

    Example: corral usage --last 30d --by tenant,day --csv
    """  # fmt: skip
    from corral.tenancy.usage import parse_groups, sum_usage

    groups = parse_groups(by)
    since = None if last is None else datetime.now(UTC) - parse_span(last)
    database = open_state(home).database
    if plot is not None:
        from corral.cli.usage_plot import draw_usage

        days = sum_usage(database, by=("tenant", "day"), tenant=tenant, since=since)
        draw_usage(days, plot)
        print_note(f"drawn: {plot}")
    totals = sum_usage(database, by=groups, tenant=tenant, since=since)
    if as_json:
        print_json([total.document(groups) for total in totals])
    elif as_csv:
        _print_csv(groups, totals)
    else:
        _print_table(groups, totals)


def _print_csv(groups: Sequence[str], totals: Sequence[UsageTotal]) -> None:
    documents = [total.document(groups) for total in totals]
    names = list(documents[0]) if documents else list(groups)
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(documents)


def _print_table(groups: Sequence[str], totals: Sequence[UsageTotal]) -> None:
    from corral.tenancy.holder import holder_name

    print_table(
        (
            *(name.upper() for name in groups), ">REQUESTS", ">FAILED", ">PROMPT", ">ANSWER",
            ">CACHED", ">ENGINE S", ">ENERGY",
        ),
        (
            (
                *(holder_name(t.key or 0) if name == "key" else getattr(t, name)
                  for name in groups),
                t.requests, t.failed, t.prompt_tokens, t.completion_tokens,
                t.cached_tokens, f"{t.engine_s:.1f}",
                "absent" if t.energy_j is None else f"{t.energy_j:.0f} J",
            )
            for t in totals
        ),
        empty="no usage",
    )  # fmt: skip
