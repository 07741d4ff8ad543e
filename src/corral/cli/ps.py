"""`corral ps`: the live workers of a running server, and who is kept from having one.

Trust: operator side. Input: answers of our own launcher; quarantines that the gateway wrote.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.options import HomeOption, JsonOption, open_home
from corral.cli.server import connected
from corral.cli.terminal import print_json, print_note, print_table, size_text, span_text
from corral.core.home import Home

if TYPE_CHECKING:
    from corral.ipc.messages import WorkerStatus
    from corral.tenancy.quarantine import Quarantine


def ps(
    home: HomeOption = None,
    all_kinds: Annotated[
        bool, typer.Option("--all", "-a", help="Also the gateway, scans and downloads.")
    ] = False,
    quarantined: Annotated[
        bool,
        typer.Option("--quarantined", help="List what is in quarantine instead; needs no server."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List live workers with their sandbox, and models in quarantine for a tenant.

    With --json it lists either the workers or, with --quarantined, the quarantines.

    Example: corral ps --json
    """
    place = Home.locate(home)
    if quarantined:
        _print_quarantines(_quarantines(open_home(home)), as_json=as_json)
        return
    with connected(place) as launcher:
        workers = [w for w in launcher.workers() if all_kinds or w.kind == "engine"]
    now = time.time()
    if as_json:
        print_json([_worker_document(w, now) for w in workers])
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
    for q in _quarantines(place) if place.database.exists() else ():
        print_note(
            f"quarantined for {_left(q)} more: {q.model} for {q.tenant}, after {q.crashes} "
            f"crashes; release it: corral release {q.tenant} {q.model}"
        )


def _worker_document(worker: WorkerStatus, now: float) -> dict[str, object]:
    return {
        "kind": worker.kind,
        "tenant": worker.tenant,
        "model": worker.model,
        "digest": worker.digest,
        "pid": worker.pid,
        "runtime": worker.runtime,
        "tier": worker.tier,
        "rss_bytes": worker.rss_bytes,
        "uptime_s": max(0, int(now - worker.started_s)),
    }


def _quarantines(home: Home) -> tuple[Quarantine, ...]:
    from corral.state.database import open_database
    from corral.tenancy.quarantine import list_quarantines

    return list_quarantines(open_database(home.database))


def _print_quarantines(held: tuple[Quarantine, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
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
        ("TENANT", "MODEL", ">CRASHES", ">LEFT"),
        ((q.tenant, q.model, q.crashes, _left(q)) for q in held),
        empty="nothing is in quarantine",
    )


def _left(quarantine: Quarantine) -> str:
    return span_text(max(0, quarantine.until.timestamp() - time.time()))
