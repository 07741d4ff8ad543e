"""`corral doctor`: which walls this host can give.

Trust: operator side; one of the two places that may look into `corral.sandbox`.
Input: what the kernel and the OCI runtimes of this host say.
"""

from __future__ import annotations

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

_STYLES = {"enforced": "green", "degraded": "yellow", "absent": "red", "optional": "dim"}


def doctor(
    tier: TierOption = None,
    runtime: RuntimeOption = None,
    allow_degraded: DegradedOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Probe this host and show each wall: enforced, degraded or absent, and what to do.

    Exit code 0 if corral can start here, 1 if not.

    Example: corral doctor --json
    """
    from rich.text import Text

    from corral.sandbox.probe import probe_host

    settings = sandbox_settings(tier, runtime, allow_degraded)
    sandbox = effective_config(Home.locate(home), settings).sandbox
    features = probe_host(
        tier=sandbox.tier, runtime=sandbox.runtime, allow_degraded=sandbox.allow_degraded
    )
    can_start = all(feature.state != "absent" for feature in features)
    if as_json:
        print_json(
            {
                "can_start": can_start,
                "features": [
                    {"name": f.name, "state": f.state, "detail": f.detail, "remedy": f.remedy}
                    for f in features
                ],
            }
        )
    else:
        print_table(
            ("WALL", "STATE", "DETAIL", "WHAT TO DO"),
            (
                (f.name, Text(f.state, style=_STYLES.get(f.state, "")), f.detail, f.remedy)
                for f in features
            ),
            empty="nothing was probed",
        )
        print_note("corral can start here" if can_start else "corral cannot start here yet")
    if not can_start:
        raise typer.Exit(1)
