"""`corral stop`: end the server, or only the workers of one model or tenant.

Trust: operator side. Input: the operator's command line.
"""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from corral.cli.options import HomeOption, JsonOption
from corral.cli.server import connected, signal_server
from corral.cli.terminal import print_json, print_note
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.limits import DRAIN_SECONDS

_END_SECONDS = DRAIN_SECONDS + 20


def stop(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", help="Stop only this model's workers.", show_default=False
        ),
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", help="Stop only this tenant's workers.", show_default=False),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """End the server, letting requests in flight finish; or stop single workers.

    A stopped worker starts again with the next request that needs it.

    Example: corral stop smollm2-135m-instruct --tenant default
    """
    place = Home.locate(home)
    if model is None and tenant is None:
        pid = signal_server(place, signal.SIGTERM, wait_s=_END_SECONDS)
        if as_json:
            print_json({"stopped": "server", "pid": pid})
        else:
            print_note("the server has ended")
        return
    with connected(place) as launcher:
        chosen = [
            w
            for w in launcher.workers()
            if w.kind == "engine" and w.model == (model or w.model)
            and w.tenant == (tenant or w.tenant)
        ]  # fmt: skip
        if not chosen:
            raise CorralError(
                "no_such_worker", "no live worker is meant by that", remedy="list them: corral ps"
            )
        for worker in chosen:
            launcher.stop(worker.worker_id)
    if as_json:
        print_json({"stopped": [{"tenant": w.tenant, "model": w.model} for w in chosen]})
    else:
        print_note(f"stopped {len(chosen)} worker{'s' if len(chosen) != 1 else ''}")
