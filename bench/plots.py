"""One plot for each measurement, as PNG and SVG, drawn from its JSON document alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
mpl.rcParams["svg.hashsalt"] = "corral"  # the same figures give the same file

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

_CORRAL, _BARE, _GOAL = "#1f6f8b", "#b0b7bd", "#c0392b"
_DPI = 150


def draw(document: dict[str, Any], out: Path) -> None:
    """Write `NAME.png` and `NAME.svg` of a measurement."""
    name = document["measurement"]
    figure = _DRAWERS[name](document)
    machine = document["machine"]
    figure.text(
        0.5, 0.005,
        f"{machine['cpu']}, {machine['cores']} cores, {document['date'][:10]}, load"
        f" {document['load_before']:.2f}, {document['engine']['model']}, {machine['commit']}",
        ha="center", fontsize=7, color="#666666",
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(out / f"{name}.png", dpi=_DPI)
    figure.savefig(out / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def _throughput(document: dict[str, Any]) -> Figure:
    levels = document["levels"]
    figure, (speed, first) = plt.subplots(1, 2, figsize=(10, 4.2))
    labels = [str(level["streams"]) for level in levels]
    _pairs(speed, labels, [_of(levels, side, "tokens_per_s_median") for side in _SIDES])
    for at, level in enumerate(levels):
        speed.text(
            at, 0.03, f"x {level['tokens_per_s_ratio']:.2f}", ha="center", fontsize=9,
            transform=speed.get_xaxis_transform(),
        )  # fmt: skip
    speed.set(title="Tokens per second (median)", xlabel="concurrent streams", ylabel="tokens/s")
    _pairs(first, labels, [_of(levels, side, "first_token_ms_p50") for side in _SIDES])
    for shift, side in ((-0.2, "corral"), (0.2, "bare")):
        tops = _of(levels, side, "first_token_ms_p95")
        first.plot([at + shift for at in range(len(tops))], tops, "_", color="black", markersize=14)
    first.set(
        title="Time to first token (bar p50, mark p95)", xlabel="concurrent streams", ylabel="ms"
    )
    speed.legend(loc="upper left")
    return figure


def _cold_start(document: dict[str, Any]) -> Figure:
    runtimes = document["runtimes"]
    figure, axes = plt.subplots(figsize=(6.5, 4.2))
    _pairs(
        axes, list(runtimes),
        [[one[f"{side}_ms_median"] for one in runtimes.values()] for side in _SIDES],
    )  # fmt: skip
    for at, one in enumerate(runtimes.values()):
        goal = one["bare_ms_median"] + 300
        axes.hlines(goal, at - 0.42, at + 0.42, colors=_GOAL, linestyles="dashed")
    axes.set(title="Cold start to first token (dashed: goal, bare + 300 ms)", ylabel="ms")
    axes.legend(loc="upper left")
    return figure


def _memory(document: dict[str, Any]) -> Figure:
    workers = document["workers_mib"]
    needed = document["needed_mib"]
    figure, axes = plt.subplots(figsize=(6.5, 4.2))
    labels = ["bare", *(str(number) for number in range(1, len(workers) + 1))]
    over = [document["bare_overhead_mib"], *document["overhead_mib"]]
    axes.bar(labels, [needed] * len(labels), color=_BARE, label="KV and compute buffers")
    axes.bar(labels, over, bottom=needed, color=_CORRAL, label="all the rest")
    axes.axhline(needed + 30, color=_GOAL, linestyle="dashed", label="goal: 30 MiB over buffers")
    axes.set(title="Private memory by worker of one model", xlabel="worker", ylabel="MiB")
    axes.legend(loc="lower right")
    return figure


def _start_time(document: dict[str, Any]) -> Figure:
    starts = document["starts"]
    figure, axes = plt.subplots(figsize=(6.5, 4.2))
    started = [one["started_ms_median"] for one in starts.values()]
    ready = [one["ready_ms_median"] for one in starts.values()]
    axes.bar(list(starts), started, color=_CORRAL, label="jail runs")
    axes.bar(
        list(starts), [all_ - part for all_, part in zip(ready, started, strict=True)],
        bottom=started, color=_BARE, label="model loaded",
    )  # fmt: skip
    axes.set(title="Start of a worker (median)", ylabel="ms")
    axes.legend(loc="upper left")
    return figure


def _recovery(document: dict[str, Any]) -> Figure:
    faults = document["faults"]
    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    axes.barh(list(faults), [one["recovery_s_max"] for one in faults.values()], color=_CORRAL)
    axes.axvline(2, color=_GOAL, linestyle="dashed", label="goal: 2 s")
    axes.invert_yaxis()
    axes.set(title="From a fault to the tenant's next answer (slowest)", xlabel="s")
    axes.legend(loc="lower right")
    return figure


def _admission(document: dict[str, Any]) -> Figure:
    header, large = document["header"], document["large"]
    figure, (structure, through) = plt.subplots(1, 2, figsize=(10, 4.2))
    structure.boxplot(
        [header["structure_ms"], header["job_ms"]], tick_labels=["examined", "whole job"]
    )
    structure.axhline(150, color=_GOAL, linestyle="dashed", label="goal: 150 ms, examined")
    structure.set(title="Header of a 7B model", ylabel="ms", ylim=(0, None))
    structure.legend(loc="lower right")
    sums = large["sha256sum_mb_per_s"]
    bars = through.bar(
        ["sha256sum", "hash and scan"], [sums, large["hash_and_scan_mb_per_s"]],
        color=[_BARE, _CORRAL],
    )  # fmt: skip
    through.bar_label(bars, fmt="%.0f", fontsize=8)
    through.axhline(0.8 * sums, color=_GOAL, linestyle="dashed", label="goal: 80 % of sha256sum")
    through.set(title=f"A file of {large['bytes'] / 1e9:.1f} GB, cached", ylabel="MB/s")
    through.legend(loc="lower right")
    return figure


def _fairness(document: dict[str, Any]) -> Figure:
    equals = document["equals"]
    figure, (first, gap) = plt.subplots(1, 2, figsize=(10, 4.2))
    names = ("solo", "fair", "fcfs")
    first.boxplot([document[name]["first_token_ms"] for name in names], tick_labels=names)
    limit = document["solo"]["first_token_ms_p95"] * 1.5
    first.axhline(limit, color=_GOAL, linestyle="dashed", label="goal: 1.5 x solo, p95")
    first.set(title="Light tenant's time to first token", ylabel="ms", yscale="log")
    first.legend(loc="upper left")
    gap.plot(*zip(*equals["gaps"], strict=True), color=_CORRAL, label="largest gap")
    gap.axhline(equals["bound"], color=_GOAL, linestyle="dashed", label="bound (theorem 4.4)")
    gap.set(title="Service of equal tenants", xlabel="s", ylabel="service (tokens, weighted)")
    gap.legend(loc="center right")
    return figure


_SIDES = ("corral", "bare")


def _slow_clients(document: dict[str, Any]) -> Figure:
    figure, both = plt.subplots(1, 2, figsize=(12, 4.2), sharey=True)
    for axes, (place, modes) in zip(both, document["places"].items(), strict=True):
        labels = [f"{name}\n({one['connections_held']} held)" for name, one in modes.items()]
        quiet = [one["quiet_p99_ms"] for one in modes.values()]
        _pairs(axes, labels, [[one["attacked_p99_ms"] for one in modes.values()], quiet])
        for at, bare in enumerate(quiet):
            axes.hlines(bare * 1.2, at - 0.42, at + 0.42, colors=_GOAL, linestyles="dashed")
        axes.set(title=f"Slow connections of {place}", ylabel="ms")
        axes.tick_params(axis="x", labelsize=7)
    figure.suptitle(
        f"A good tenant's p99 beside {document['connections']} slow connections"
        " (light: without; dashed: goal)"
    )
    return figure


def _noisy_neighbour(document: dict[str, Any]) -> Figure:
    bombs = document["bombs"]
    figure, axes = plt.subplots(figsize=(6.5, 4.2))
    quiet = [one["quiet_p95_ms"] for one in bombs.values()]
    _pairs(axes, list(bombs), [[one["beside_p95_ms"] for one in bombs.values()], quiet])
    for at, bare in enumerate(quiet):
        axes.hlines(bare * 1.5, at - 0.42, at + 0.42, colors=_GOAL, linestyles="dashed")
    axes.set(title="A good tenant's p95 beside a bomb (light: without; dashed: goal)", ylabel="ms")
    return figure


def _audit(document: dict[str, Any]) -> Figure:
    levels = document["levels"]
    figure, axes = plt.subplots(figsize=(7, 4.2))
    labels = ["fdatasync\nalone", *(f"{one['requests_at_once']} at once" for one in levels)]
    sides = [document["fdatasync"], *levels]
    axes.bar(labels, [one["p50_ms"] for one in sides], color=_CORRAL)
    axes.plot(labels, [one["p95_ms"] for one in sides], "_", color="black", markersize=24)
    axes.set(title="Wait of a request for its audit record (bar p50, mark p95)", ylabel="ms")
    return figure


def _foreign_ids(document: dict[str, Any]) -> Figure:
    apis: dict[str, dict[str, Any]] = document["apis"]
    figure, axes = plt.subplots(figsize=(8, 4.6))
    middles = [one["median_difference_ms"] for one in apis.values()]
    ends = [one["median_difference_ms_95"] for one in apis.values()]
    reach = [
        [abs(middle - end[side]) for middle, end in zip(middles, ends, strict=True)]
        for side in (0, 1)
    ]
    axes.errorbar(middles, list(apis), xerr=reach, fmt="o", color=_CORRAL, capsize=4)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(title="404 for a foreign id minus 404 for none (median, 95 %)", xlabel="ms")
    figure.subplots_adjust(left=0.24, bottom=0.17)
    return figure


def _soak(document: dict[str, Any]) -> Figure:
    samples = document["samples"]
    minutes = [one["at_s"] / 60 for one in samples]
    figure, (memory, counts) = plt.subplots(2, 1, figsize=(9, 6.2), sharex=True)
    for name in ("gateway", "launcher", "monitor"):
        memory.plot(minutes, [one["memory_mib"][name][0] for one in samples], label=name)
    memory.set(title="Anonymous memory of corral's own processes", ylabel="MiB", ylim=(0, None))
    memory.legend(loc="center right")
    counts.plot(minutes, [one["descriptors"]["gateway"] for one in samples], label="gateway's fds")
    counts.plot(minutes, [one["descriptors"]["launcher"] for one in samples], label="launcher's")
    counts.plot(minutes, [one["workers"] for one in samples], color=_BARE, label="workers")
    for rest in document["rests"]:
        counts.axvline(rest["at_s"] / 60, color=_GOAL, linestyle="dotted", linewidth=0.8)
    counts.set(title="Open descriptors and workers (dotted: at rest)", xlabel="minutes")
    counts.legend(loc="upper right")
    return figure


def _sanitation(document: dict[str, Any]) -> Figure:
    figure, axes = plt.subplots(figsize=(8.5, 4.2))
    texts = document["costs"]["balanced"]
    stages = [name for name in texts["prose"] if name.endswith("_p50_ms")]
    floor = [0.0] * len(texts)
    for stage in stages:
        heights = [one[stage] for one in texts.values()]
        axes.bar(list(texts), heights, bottom=floor, label=stage.removesuffix("_p50_ms"))
        floor = [low + high for low, high in zip(floor, heights, strict=True)]
    axes.axhline(1.0, color=_GOAL, linestyle="dashed", label="goal")
    axes.set(title="Sanitation of a text of 4 kB by the policy balanced", ylabel="ms (p50)")
    axes.legend(fontsize=7)
    return figure


_DRAWERS: dict[str, Callable[[dict[str, Any]], Figure]] = {
    "soak": _soak,
    "throughput": _throughput,
    "cold_start": _cold_start,
    "memory": _memory,
    "start_time": _start_time,
    "recovery": _recovery,
    "admission": _admission,
    "slow_clients": _slow_clients,
    "fairness": _fairness,
    "noisy_neighbour": _noisy_neighbour,
    "audit": _audit,
    "foreign_ids": _foreign_ids,
    "sanitation": _sanitation,
}


def _of(levels: list[dict[str, Any]], side: str, name: str) -> list[float]:
    return [level[side][name] for level in levels]


def _pairs(axes: Axes, labels: list[str], sides: list[list[float]]) -> None:
    for shift, side, color, heights in zip(
        (-0.2, 0.2), _SIDES, (_CORRAL, _BARE), sides, strict=True
    ):
        places = [at + shift for at in range(len(labels))]
        axes.bar_label(
            axes.bar(places, heights, width=0.38, color=color, label=side), fmt="%.0f", fontsize=8
        )
    axes.set_xticks(range(len(labels)), labels)
    axes.margins(y=0.15)
