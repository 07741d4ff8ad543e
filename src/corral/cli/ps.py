"""`corral ps`: the live workers of a running server.

Trust: operator side. Input: answers of our own launcher.
"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from corral.cli.options import HomeOption, JsonOption
from corral.cli.server import connected
from corral.cli.terminal import print_json, print_table, size_text, span_text
from corral.core.home import Home


def ps(
    home: HomeOption = None,
    all_kinds: Annotated[
        bool, typer.Option("--all", "-a", help="Also the gateway, scans and downloads.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List live workers with their sandbox.

    Example: corral ps --json
    """
    now = time.time()
    with connected(Home.locate(home)) as launcher:
        workers = [w for w in launcher.workers() if all_kinds or w.kind == "engine"]
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
