"""`corral fsck`: hash the store again, set aside what rotted, tell what else is wrong.

Trust: operator side. Input: the operator's own state folder, possibly damaged; names in it are
printed without control characters.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.failure import typed_failure
from corral.cli.options import HomeOption, JsonOption, open_home
from corral.cli.progress import shown_progress
from corral.cli.server import connected
from corral.cli.terminal import print_error, print_json, print_note, print_table, size_text
from corral.core.errors import CorralError

if TYPE_CHECKING:
    from collections.abc import Collection

    from corral.core.home import Home
    from corral.ipc.messages import WorkerStatus


def fsck(
    home: HomeOption = None,
    gc: Annotated[
        bool, typer.Option("--gc", help="Also remove what no model uses; safe beside a pull.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check each file of the store against its name and its receipts.

    A blob whose content has changed is moved aside and its models are removed; their receipts are
    kept beside it. Workers that run it are listed. Everything else is only told.

    Exit code 0 nothing wrong, 1 something was, 2 could not check.

    Example: corral fsck --gc --json
    """
    from corral.admission.fsck import check_store
    from corral.admission.quarantine import collect_garbage

    place = open_home(home)
    try:
        removed = collect_garbage(place) if gc else ()
        with shown_progress() as progress:
            checked = check_store(place, progress=progress)
    except (CorralError, OSError) as error:
        print_error(typed_failure(error), as_json=as_json)
        raise typer.Exit(2) from error
    rotten = [trouble for trouble in checked.troubles if trouble.kind == "rotten"]
    named = {name for trouble in rotten for name in trouble.models}  # of an adapter, too
    workers = _workers(place, {trouble.where for trouble in rotten}, named)
    if as_json:
        print_json({
            "blobs": checked.blobs,
            "bytes": checked.size_bytes,
            "troubles": [asdict(trouble) for trouble in checked.troubles],
            "removed": removed,
            "workers": [
                {"tenant": w.tenant, "model": w.model, "pid": w.pid} for w in workers
            ],
        })  # fmt: skip
    else:
        print_table(
            ("WHAT", "WHERE", "MODELS", "MESSAGE"),
            (
                (t.kind, t.moved_to or t.where, " ".join(t.models) or "-", t.message)
                for t in checked.troubles
            ),
            empty="nothing wrong",
        )
        for worker in workers:
            print_note(
                f"{worker.tenant} runs {worker.model}, whose file has changed: "
                f"corral stop {worker.model}"
            )
        if gc:
            print_note(f"{len(removed)} files that no model used are removed")
        print_note(f"{checked.blobs} files of {size_text(checked.size_bytes)} were hashed")
    if checked.troubles:
        raise typer.Exit(1)


def _workers(home: Home, digests: Collection[str], models: Collection[str]) -> list[WorkerStatus]:
    """Return the live workers of these blobs or models; none if no server runs."""
    if not digests:
        return []
    with suppress(CorralError), connected(home) as launcher:
        return [
            worker
            for worker in launcher.workers()
            if worker.digest in digests or worker.model in models
        ]
    return []
