"""Write the verdicts of one zone as a page of docs/verdicts: one line for each call."""

from __future__ import annotations

from pathlib import Path

from tests.security.syscalls.bpf import Program
from tests.security.syscalls.verdicts import (
    ABIS,
    Verdict,
    foreign_architectures,
    named_verdicts,
    numbers,
    ranges,
)

FOLDER = Path(__file__).parents[3] / "docs" / "verdicts"
TITLES = {
    "engine": "the engine worker before its model is loaded",
    "engine-sealed": "the engine worker once it answers",
    "scan": "the scan job",
    "guard": "the detector",
    "media": "the decoder of images and audio",
    "fetch": "the fetch job",
    "gateway": "the gateway",
}
Row = tuple[int, int, tuple[Verdict, ...]]


def page(zone: str, crun: list[Program], runc: list[Program]) -> str:
    """Return the text of `docs/verdicts/<zone>.md`."""
    lines = [
        f"# System calls of {TITLES[zone]} (`{zone}`)",
        "",
        "Made by `make verdicts` from the filters of a live process; see [README](README.md).",
        "",
    ]
    for abi in ABIS:
        lines += [*_section(abi, crun), ""]
    others = ", ".join(sorted(foreign_architectures(crun) | foreign_architectures(runc)))
    lines += ["## Any other architecture", "", f"Every number: {others}.", ""]
    lines += ["## What is different under runc", "", *_differences(crun, runc)]
    return "\n".join(lines) + "\n"


def _section(abi: str, filters: list[Program]) -> list[str]:
    named = named_verdicts(filters, abi)
    rows = ranges(abi, filters)
    if len({verdicts for _, _, verdicts in rows}) == 1:
        every = f"Every number from {rows[0][0]:#x} to {rows[-1][1]:#x}: {rows[0][2][0]}."
        return [f"## {abi}: 0 of {len(named)} reachable", "", every]
    reachable = sum(verdict.reachable for verdict in named.values())
    common = _most_common(rows) if not reachable else None
    head = [f"## {abi}: {reachable} of {len(named)} reachable", ""]
    if common:
        head += [f"Every number but these: {common[0]}.", ""]
    table = ["| number | call | verdict |", "|---|---|---|"]
    table += [_line(abi, row) for row in rows if row[2] != common]
    return head + table


def _most_common(rows: list[Row]) -> tuple[Verdict, ...]:
    every = [verdicts for _, _, verdicts in rows]
    return max(set(every), key=every.count)


def _line(abi: str, row: Row) -> str:
    low, high, verdicts = row
    name = numbers(abi).get(low & ~ABIS[abi][1]) if low == high else None
    return f"| {_range(low, high)} | {name or '-'} | {' / '.join(map(str, verdicts))} |"


def _range(low: int, high: int) -> str:
    def number(value: int) -> str:
        return str(value) if value < 1 << 20 else f"{value:#x}"

    return number(low) if low == high else f"{number(low)} to {number(high)}"


def _differences(crun: list[Program], runc: list[Program]) -> list[str]:
    lines = []
    for abi in ABIS:
        run: list[int] = []
        last: tuple[Verdict, ...] | None = None
        for low, high, verdicts in [*ranges(abi, crun, runc), (-1, -1, None)]:
            if run and verdicts != last and last and last[0] != last[1]:
                where = _range(run[0], run[1])
                lines.append(f"- {abi} {where}: {last[1]} instead of {last[0]}")
            run = [run[0] if run and verdicts == last else low, high]
            last = verdicts
    return lines or ["Nothing."]
