"""`make bench`: measure corral against the bare engine; write results, plots and a table of goals.

    bench/run.py [--quick] [--busy] [--only NAME] [--out DIR]

It measures and does not assert: the exit code is 0 whether goals are met or missed, and 2 if the
machine is too busy to measure.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import admission
import audit
import cold_start
import fairness
import foreign_ids
import memory
import noisy_neighbour
import plots
import recovery
import sanitation
import slow_clients
import start_time
import throughput
from corral_side import bench_home
from goals import Goal
from machine import LOAD_MAX, WAIT_S, load_average, machine_facts, wait_until_quiet
from parameters import FULL, QUICK, Plan, engine_settings
from rich.console import Console
from rich.table import Table

from corral.core.home import Home

_RESULTS = Path(__file__).parent / "results"
_MEASUREMENTS = {
    "throughput": throughput.measure,
    "cold_start": cold_start.measure,
    "memory": memory.measure,
    "start_time": start_time.measure,
    "recovery": recovery.measure,
    "admission": admission.measure,
    "slow_clients": slow_clients.measure,
    "fairness": fairness.measure,
    "noisy_neighbour": noisy_neighbour.measure,
    "audit": audit.measure,
    "foreign_ids": foreign_ids.measure,
    "sanitation": sanitation.measure,
}


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="a small version, under a minute")
    parser.add_argument("--busy", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--only", choices=_MEASUREMENTS, help="one measurement only")
    parser.add_argument("--out", type=Path, help="folder of results")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    out = options.out or (_RESULTS / "quick" if options.quick else _RESULTS)
    home = bench_home()
    if not options.busy and not wait_until_quiet():
        sys.stderr.write(
            f"bench: the load average is {load_average():.2f}, above {LOAD_MAX}, after"
            f" {WAIT_S:.0f} s: figures would be wrong. Stop what runs, or pass --busy.\n"
        )
        return 2
    out.mkdir(parents=True, exist_ok=True)
    goals: list[Goal] = []
    for name in [options.only] if options.only else _MEASUREMENTS:
        goals += _measured(name, home, plan, out, busy=options.busy)
    print_goals(goals, busy=options.busy)
    return 0


def _measured(name: str, home: Home, plan: Plan, out: Path, *, busy: bool) -> list[Goal]:
    began_s, load_before = time.monotonic(), load_average()
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as work:
        result, goals = _MEASUREMENTS[name](home, plan, Path(work))
    document = {
        "measurement": name,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "duration_s": round(time.monotonic() - began_s, 1),
        "busy_allowed": busy,
        "load_before": load_before,
        "load_after": load_average(),
        "machine": machine_facts(),
        "engine": engine_settings(),
        "plan": asdict(plan),
        "goals": [one.record() for one in goals],
        **result,
    }
    (out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    plots.draw(document, out)
    sys.stderr.write(f"bench: {name} took {document['duration_s']} s -> {out / name}.json\n")
    return goals


def print_goals(goals: list[Goal], *, busy: bool = False) -> None:
    """Print goals as a table."""
    table = Table(title="Goals" + (" (busy machine allowed: not for the records)" if busy else ""))
    for column in ("goal", "figure", "limit", ""):
        table.add_column(column)
    for one in goals:
        table.add_row(
            one.name,
            f"{one.figure:.3f} {one.unit}" + _interval_text(one),
            f"{'>=' if one.at_least else '<='} {one.limit:g} {one.unit}",
            "[green]met[/]" if one.met else "[bold red]missed[/]",
        )
    Console().print(table)


def _interval_text(goal: Goal) -> str:
    return "" if goal.interval is None else " ({:.3f} to {:.3f})".format(*goal.interval)


if __name__ == "__main__":
    sys.exit(main())
