"""`corral selftest`: attack the jails of this host and show what came of it.

Trust: operator side; may look into `corral.sandbox` for the runtimes. Input: judged lines of
`corral.selftest`, whose texts come from closed vocabularies.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from corral.cli.options import (
    DegradedOption,
    HomeOption,
    JsonOption,
    RuntimeOption,
    TierOption,
    effective_config,
    sandbox_settings,
)
from corral.cli.terminal import print_json, print_note, print_table
from corral.core.home import Home

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from corral.control.client import LauncherClient
    from corral.selftest.verdict import Line

_STYLES: Final = {
    "green": "green", "red": "bold red", "invalid": "bold yellow", "allowed": "yellow",
    "n/a": "dim",
}  # fmt: skip


def selftest(
    quick: Annotated[
        bool, typer.Option("--quick", help="The engine's jail, one runtime (the default).")
    ] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="All jails, all runtimes found, exhaustion attacks too."),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="DIR", help="Folder of the reports; else HOME/reports."),
    ] = None,
    tier: TierOption = None,
    runtime: RuntimeOption = None,
    allow_degraded: DegradedOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run attacks inside the jails and, as the control, the same ones outside.

    Exit code 0 if nothing got through and every line has a working control, else 1.

    Example: corral selftest --full --report ./reports
    """
    from corral.selftest.document import make_document, passed

    if quick and full:
        raise typer.BadParameter("choose --quick or --full")
    place = Home.locate(home)
    lines = _run(place, sandbox_settings(tier, runtime, allow_degraded), full=full)
    document = make_document(lines, full=full)
    folder = report or place.root / "reports"
    written = _write(folder, document)
    if as_json:
        print_json(document)
    else:
        _show(lines, document["counts"], written)
    if not passed(lines):
        raise typer.Exit(1)


def _run(home: Home, settings: dict[str, object], *, full: bool) -> list[Line]:
    from corral.cli.first_policy import install_first_policy
    from corral.cli.job_unsafe import selftest_launcher
    from corral.cli.progress import shown_status
    from corral.selftest.run import run_matrix
    from corral.selftest.targets_unsafe import made_targets
    from corral.selftest.twin import made_twin
    from corral.tenancy.setup import prepare_home

    config = effective_config(home, settings)
    prepare_home(home, on_new=install_first_policy)
    runtimes = _runtimes(config.sandbox.tier, config.sandbox.runtime, full=full)

    def launch(name: str) -> AbstractContextManager[LauncherClient]:
        return selftest_launcher(home, settings | {"sandbox.runtime": name})

    made = made_targets(home.blobs, home.quarantine)
    with made as targets, made_twin() as twin, shown_status() as say:
        return run_matrix(
            launch, targets, twin, runtimes=runtimes, full=full, progress=say,
            accepted=frozenset(config.sandbox.allow_degraded), guard=home.detector.is_dir(),
        )  # fmt: skip


def _runtimes(tier: str, wanted: str, *, full: bool) -> tuple[str, ...]:
    from corral.core.errors import SandboxError
    from corral.sandbox.runtimes import RUNTIME_NAMES, find_runtime, tier_of

    if not full or wanted != "auto":
        return (find_runtime("gvisor" if wanted == "runsc" else tier, wanted).name,)
    found = []
    for name in RUNTIME_NAMES:
        try:
            found.append(find_runtime(tier_of(name), name).name)
        except SandboxError:
            continue
    return tuple(found) or (find_runtime(tier, wanted).name,)


def _write(folder: Path, document: dict[str, object]) -> Path:
    from corral.selftest.page import render_page

    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"selftest-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}"
    stem.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    page = stem.with_suffix(".html")
    page.write_text(render_page(document), encoding="utf-8")
    return page


def _show(lines: Sequence[Line], counts: dict[str, int], written: Path) -> None:
    from rich.text import Text

    def styled(line: Line) -> Text:
        return Text(line.verdict.value, style=_STYLES[line.verdict.value])

    print_table(
        ("RUNTIME", "ZONE", "ATTACK", "OUTCOME", "CONTROL", "VERDICT"),
        (
            (line.runtime, line.zone, line.probe.id, line.outcome, line.control, styled(line))
            for line in lines
        ),
        empty="nothing was probed",
    )
    odd: dict[tuple[str, str, str], list[Line]] = {}
    for line in lines:
        if line.reason:
            odd.setdefault((line.verdict.value, line.probe.id, line.reason), []).append(line)
    print_table(
        ("VERDICT", "ATTACK", "WHERE", "WHY"),
        (
            (styled(some[0]), probe, " ".join(f"{li.runtime}/{li.zone}" for li in some), reason)
            for (_, probe, reason), some in odd.items()
        ),
        empty="every line is green",
    )
    total = ", ".join(f"{number} {name}" for name, number in counts.items())
    print_note(f"{len(lines)} lines: {total}")
    print_note(f"report: {written}")
