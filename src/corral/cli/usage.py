"""`corral usage`: what each tenant used.

Trust: operator side. Input: rows that the gateway's ledger wrote.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from corral.cli.key import parse_span
from corral.cli.options import HomeOption, JsonOption, open_home
from corral.cli.terminal import print_json, print_table


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
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show requests and tokens for each tenant and model.

    Example: corral usage --tenant acme --last 30d
    """
    from corral.state.database import open_database
    from corral.tenancy.usage import sum_usage

    since = None if last is None else datetime.now(UTC) - parse_span(last)
    totals = sum_usage(open_database(open_home(home).database), tenant=tenant, since=since)
    if as_json:
        print_json([asdict(total) for total in totals])
        return
    print_table(
        ("TENANT", "MODEL", ">REQUESTS", ">FAILED", ">PROMPT", ">COMPLETION", ">CACHED"),
        (
            (
                t.tenant, t.model, t.requests, t.failed, t.prompt_tokens, t.completion_tokens,
                t.cached_tokens,
            )
            for t in totals
        ),
        empty="no usage",
    )  # fmt: skip
