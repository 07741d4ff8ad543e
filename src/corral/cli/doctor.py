"""`corral doctor`: which walls this host can give, and what corral will therefore do.

Trust: operator side. Input: what `corral.doctor` read from the kernel and the OCI runtimes.
"""

from __future__ import annotations

from typing import Final

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
from corral.doctor.fact import Fact, Report

_STYLES: Final = {"enforced": "green", "absent": "red", "host-owned": "cyan"}


def doctor(
    tier: TierOption = None,
    runtime: RuntimeOption = None,
    allow_degraded: DegradedOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Probe this host and show each wall: enforced, absent (and what to do), or the host's own.

    A host-owned fact is reported and never claimed: only the host can change it. Exit code 0 if
    corral can start here with these options, 1 if something that it needs is absent.

    Example: corral doctor --json
    """
    from corral.doctor.survey import survey_host
    from corral.guard.detector_fact import detector_fact

    settings = sandbox_settings(tier, runtime, allow_degraded)
    place = Home.locate(home)
    report = survey_host(effective_config(place, settings), more=(detector_fact(place),))
    if as_json:
        print_json(report.document())
    else:
        _show(report)
    if not report.can_start:
        raise typer.Exit(1)


def _show(report: Report) -> None:
    print_table(
        ("WALL", "STATE", "DETAIL", "WHAT TO DO"),
        ((fact.name, _state(fact), fact.detail, fact.remedy) for fact in report.facts),
        empty="nothing was probed",
    )
    opened = [flaw for flaw in report.flaws if flaw.status == "open"]
    if opened:
        print_table(
            ("KNOWN FLAW", "RUNTIME", "FIXED IN", "WHAT IT MEANS FOR CORRAL"),
            ((f.id, f.runtime, ", ".join(f.fixed_in), f.meaning) for f in opened),
            empty="",
        )
    if report.degraded:
        print_note(f"degraded by your leave: {', '.join(report.degraded)}")
    blocking = [fact.name for fact in report.facts if fact.blocks]
    if blocking:
        print_note(f"corral cannot start here yet: {', '.join(blocking)}")
    else:
        print_note("corral can start here")


def _state(fact: Fact) -> object:
    from rich.text import Text

    if fact.accepted:
        return Text("degraded", style="yellow")
    if fact.state == "absent" and not fact.needed:
        return Text("absent", style="yellow")
    return Text(fact.state, style=_STYLES[fact.state])
