"""Run every probe in every zone and judge each against its control.

Trust: operator side. Input: a launcher's replies; what probe programs say, by `conversation`.

Steps of one zone: 1. start the probe program under the shipped profile by the real launcher;
2. take its results; 3. look at the waiting process from the host; 4. let it end; 5. the same for
each probe that needs a jail of its own; 6. judge.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Final

from corral.control.client import LauncherClient
from corral.core.errors import CorralError, IpcError
from corral.ipc.messages import StartProbe
from corral.selftest.catalog import SEALED, ZONES, Probe, load_catalog
from corral.selftest.conversation import converse
from corral.selftest.inspection import look_at
from corral.selftest.outside_unsafe import competitors, find_core, loose_process, run_outside
from corral.selftest.share import Judge
from corral.selftest.targets_unsafe import Targets
from corral.selftest.twin import Twin
from corral.selftest.verdict import REFUSALS, Line, Terms, judge

_SECONDS: Final = 90.0
_SCRATCH: Final = {"fetch": "/quarantine", "gateway": "/state"}
_HOG: Final = "resource.processor"
_CORE: Final = "resource.core-dump"
GVISOR_ZONES: Final = ("engine", SEALED, "scan", "guard", "media")
"""What gVisor may run; the launcher gives the other zones a runtime that passes descriptors."""

Launch = Callable[[str], AbstractContextManager[LauncherClient]]
Progress = Callable[[str], None]


@dataclass(slots=True)
class ZoneRun:
    """What came out of one zone's jails."""

    runtime: str = ""
    tier: str = ""
    outcomes: dict[str, str] = field(default_factory=dict)


def chosen(zone: str, *, full: bool) -> Iterator[Probe]:
    """Yield the probes of one zone."""
    for probe in load_catalog().values():
        if zone in probe.only and (full or not probe.exhausts):
            yield probe


def run_zone(
    launcher: LauncherClient, targets: Targets, twin: Twin, zone: str, *, full: bool
) -> ZoneRun:
    """Run one zone's probes in jails.

    Raises:
        CorralError: a jail could not be started.
    """
    run = ZoneRun()
    probes = list(chosen(zone, full=full))
    known = load_catalog().values()
    skip = tuple(p.id for p in known if p.alone or p.look or p not in probes)
    run.outcomes = run_jail(launcher, targets, zone, run=run, skip=skip)
    for probe in probes:
        if probe.alone:
            with _company(probe, twin) as told:
                outcomes = run_jail(launcher, targets, zone, run=run, only=probe.id)
                run.outcomes |= {name: told(outcome) for name, outcome in outcomes.items()}
    return run


def _company(probe: Probe, twin: Twin) -> AbstractContextManager[Judge]:
    return competitors(twin) if probe.id == _HOG else nullcontext(str)


def run_jail(
    launcher: LauncherClient, targets: Targets, zone: str, *, run: ZoneRun, only: str = "",
    skip: tuple[str, ...] = (),
) -> dict[str, str]:  # fmt: skip
    """Run some probes in one jail and return their outcomes."""
    started, fds = launcher.start(StartProbe("engine" if zone == SEALED else zone))
    run.runtime, run.tier = started.runtime, started.tier
    scratch = _SCRATCH.get(zone, "")
    try:
        results = converse(
            fds, targets.request(zone, control=False, scratch=scratch, only=only, skip=skip),
            seconds=_SECONDS,
        )  # fmt: skip
        looks = {} if only or results.broken else look_at(started.pid)
    finally:
        for fd in fds:
            os.close(fd)
    if results.broken:
        with suppress(CorralError):  # it may have ended by itself a moment ago
            launcher.stop(started.worker_id)
    try:
        ended = launcher.wait_ended(started.worker_id)
    except IpcError:
        return {}
    outcomes = results.outcomes | looks
    if only and only not in outcomes:
        last = ended.reason if ended.status == "signaled" else ended.status
        own_end = results.broken in {"", "gone"}  # nobody but the process itself ended it
        outcomes[only] = last if own_end else results.broken
        if only == _CORE and outcomes[only] in {"SIGABRT", "SIGSEGV"}:
            outcomes[only] = find_core(targets.quarantine / f"selftest-{zone}")
    return outcomes


def run_controls(targets: Targets, twin: Twin, *, full: bool) -> dict[str, str]:
    """Run every attack outside a jail and return the outcomes.

    Without a control group to bound them, exhaustion attacks have no control (`unbounded`): their
    lines become invalid.
    """
    probes = [p for p in load_catalog().values() if full or not p.exhausts]
    barred = [p.id for p in probes if p.exhausts and not twin.bounded]
    outcomes = dict.fromkeys(barred, "unbounded")
    single = [p for p in probes if (p.alone or p.last) and p.id not in barred]
    skip = tuple(p.id for p in load_catalog().values()
                 if p in single or p.look or p not in probes or p.id in barred)  # fmt: skip
    root = os.geteuid() == 0
    for own in (False,) if root else (True, False):
        results, _ = run_outside(targets, twin, skip=skip, own_user=own)
        for name, outcome in results.outcomes.items():
            if outcome == "ok" or outcomes.get(name, "missing") in REFUSALS:
                outcomes[name] = outcome
    for probe in single:
        with _company(probe, twin) as told:
            results, how = run_outside(targets, twin, only=probe.id)
            outcomes[probe.id] = told(results.outcomes.get(probe.id, results.broken or how))
    with loose_process(twin) as pid:
        return outcomes | look_at(pid)


def run_matrix(
    launch: Launch, targets: Targets, twin: Twin, *, runtimes: tuple[str, ...], full: bool,
    progress: Progress, accepted: frozenset[str] = frozenset(), guard: bool = False,
) -> list[Line]:  # fmt: skip
    """Run the selftest.

    Args:
        launch: makes a launcher that uses one runtime.
        targets: what the attacks are aimed at.
        twin: the controls' control group.
        runtimes: each with all its zones if `full`, else with the engine's zone.
        full: all zones, exhaustion attacks too.
        progress: told what runs now.
        accepted: walls that the operator said may be missing.
        guard: a detector is installed: without one there is no zone for it.
    """
    terms = Terms(root=os.geteuid() == 0, accepted=accepted)
    progress("controls outside")
    controls = run_controls(targets, twin, full=full)
    lines = []
    for name in runtimes:
        zones: tuple[str, ...] = ("engine",)
        if full:
            zones = GVISOR_ZONES if name == "runsc" else ("engine", SEALED, *ZONES[1:])
        with launch(name) as launcher:
            for zone in (zone for zone in zones if guard or zone != "guard"):
                progress(f"{name}: {zone}")
                run = run_zone(launcher, targets, twin, zone, full=full)
                lines += [
                    judge(
                        probe, zone=zone, runtime=run.runtime, tier=run.tier,
                        outcome=run.outcomes.get(probe.id, "missing"),
                        control=controls.get(probe.id, "missing"), terms=terms,
                    )
                    for probe in chosen(zone, full=full)
                ]  # fmt: skip
    return lines
