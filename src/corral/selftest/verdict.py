"""Judge one line: what came of an attack in a jail, beside what came of it outside; pure.

Trust: operator side. Input: outcomes checked by `wire`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from corral.selftest.catalog import SEALED, Probe

_REFUSALS: Final = frozenset({"EPERM", "EACCES", "ENOSYS", "missing", "cut-off", "silent", "gone"})
_NOTHING_THERE: Final = frozenset({"ENOENT", "ENXIO", "ENODEV"})


class Verdict(StrEnum):
    """What a line says."""

    GREEN = "green"
    RED = "red"
    INVALID = "invalid"
    ALLOWED = "allowed"
    ABSENT = "n/a"


@dataclass(frozen=True, slots=True)
class Line:
    """One attack in one zone under one runtime.

    Attributes:
        outcome: `ok` or the exact reason why not.
        control: the same attack's outcome outside.
        reason: why the line is not simply green; fixed vocabulary or the catalog's words.
    """

    probe: Probe
    zone: str
    runtime: str
    tier: str
    outcome: str
    control: str
    verdict: Verdict
    reason: str


def judge(
    probe: Probe, *, zone: str, runtime: str, tier: str, outcome: str, control: str
) -> Line:  # fmt: skip
    """Return the line of one attack."""
    verdict, reason = _verdict(probe, zone, tier, outcome, control)
    return Line(probe, zone, runtime, tier, outcome, control, verdict, reason)


def _verdict(probe: Probe, zone: str, tier: str, outcome: str, control: str) -> tuple[Verdict, str]:
    in_gvisor = tier == "gvisor" and zone != SEALED  # the last filter is the same there
    if outcome == "missing":
        return Verdict.RED, "the program ended before this probe answered"
    if zone in probe.may:
        if outcome == "ok":
            return Verdict.ALLOWED, probe.may[zone]
        return Verdict.RED, "the zone was to be allowed this; the catalog is wrong"
    if in_gvisor and probe.gvisor_absent:
        return Verdict.ABSENT, probe.gvisor_absent
    stopped = probe.zones.get(zone, probe.expect)
    if in_gvisor and probe.gvisor:
        stopped = probe.gvisor
    if outcome not in stopped:
        wanted = " or ".join(stopped)
        return Verdict.RED, f"expected {wanted}"
    if probe.control == ("any",):
        valid = control != "missing"
    elif probe.control:
        valid = control in probe.control
    else:
        if control == "ENOSYS":
            return Verdict.ABSENT, "this host's kernel has no such call"
        if probe.host_may_lack and control in _NOTHING_THERE:
            return Verdict.ABSENT, "this host has no such thing to attack"
        valid = control not in _REFUSALS and control not in stopped
    if not valid:
        return Verdict.INVALID, "the control did not succeed, so the line proves nothing"
    return Verdict.GREEN, ""
