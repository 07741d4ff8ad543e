"""`corral ps`: the live workers of a running server, and who is kept from having one.

Trust: operator side. Input: answers of our own launcher; quarantines that the gateway wrote.
"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from corral.cli.options import HomeOption, JsonOption
from corral.cli.server import connected
from corral.cli.terminal import print_json, print_note, print_table, size_text, span_text
from corral.core.home import Home


def ps(
    home: HomeOption = None,
    all_kinds: Annotated[
        bool, typer.Option("--all", "-a", help="Also the gateway, scans and downloads.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List live workers with their sandbox, and models in quarantine for a tenant.

    Example: corral ps --json
    """
    from corral.state.database import open_database
    from corral.tenancy.quarantine import list_quarantines

    now = time.time()
    place = Home.locate(home)
    with connected(place) as launcher:
        workers = [w for w in launcher.workers() if all_kinds or w.kind == "engine"]
    held = list_quarantines(open_database(place.database)) if place.database.exists() else ()
    if as_json:
        print_json(
            [
                {
                    "kind": w.kind,
                    "tenant": w.tenant,
                    "model": w.model,
                    "digest": w.digest,
                    "pid": w.pid,
                    "runtime": w.runtime,
                    "tier": w.tier,
                    "rss_bytes": w.rss_bytes,
                    "uptime_s": max(0, int(now - w.started_s)),
                }
                for w in workers
            ]
            + [
                {
                    "kind": "quarantine",
                    "tenant": q.tenant,
                    "model": q.model,
                    "digest": q.digest,
                    "crashes": q.crashes,
                    "since": q.since.isoformat(),
                    "until": q.until.isoformat(),
                }
                for q in held
            ]
        )
        return
    print_table(
        ("KIND", "TENANT", "MODEL", ">PID", "RUNTIME", "TIER", ">RSS", ">UP"),
        (
            (
                w.kind, w.tenant or "-", w.model or "-", w.pid or "-", w.runtime, w.tier,
                size_text(w.rss_bytes), span_text(max(0, now - w.started_s)),
            )
            for w in workers
        ),
        empty="no worker runs: one starts with a tenant's first request",
    )  # fmt: skip
    for q in held:
        left = span_text(max(0, q.until.timestamp() - now))
        print_note(
            f"quarantined for {left} more: {q.model} for {q.tenant}, after {q.crashes} crashes; "
            f"release it: corral release {q.tenant} {q.model}"
        )
