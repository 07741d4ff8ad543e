"""Judge one line: what came of an attack in a jail, beside what came of it outside; pure.

Trust: operator side. Input: outcomes checked by `wire`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from corral.selftest.catalog import SEALED, Probe
from corral.selftest.probes.registry import Refusal
from corral.selftest.share import UNMEASURED
from corral.selftest.weights import same_weight

_DENIALS: Final = frozenset({"EPERM", "EACCES"})
REFUSALS: Final = _DENIALS | {
    "ENOSYS", "missing", "cut-off", "silent", "gone", "unbounded", UNMEASURED,
    *(r.value for r in Refusal),
}  # fmt: skip
_GROUP_WALLS: Final = frozenset({"cgroup memory", "cgroup pids", "cgroup cpu", "cgroup devices"})
_ACCEPTED_WALLS: Final = {
    "cgroup": _GROUP_WALLS, "mdwe": frozenset({"MDWE"}), "landlock": frozenset({"Landlock"}),
}  # fmt: skip
_NOTHING_THERE: Final = frozenset({"ENOENT", "ENXIO", "ENODEV"})


@dataclass(frozen=True, slots=True)
class Terms:
    """What a host and its operator are, as far as a verdict depends on it.

    Attributes:
        root: the selftest runs as root; else some controls are beyond its user.
        accepted: walls that the operator said may be missing (`--allow-degraded`).
    """

    root: bool = True
    accepted: frozenset[str] = frozenset()


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
    probe: Probe, *, zone: str, runtime: str, tier: str, outcome: str, control: str,
    terms: Terms = Terms(),
) -> Line:  # fmt: skip
    """Return the line of one attack."""
    verdict, reason = _verdict(probe, zone, tier, outcome, control, terms)
    return Line(probe, zone, runtime, tier, outcome, control, verdict, reason)


def _verdict(
    probe: Probe, zone: str, tier: str, outcome: str, control: str, terms: Terms
) -> tuple[Verdict, str]:
    in_gvisor = tier == "gvisor" and zone != SEALED  # the last filter is the same there
    if outcome == "missing":
        return Verdict.RED, "the program ended before this probe answered"
    if in_gvisor and probe.gvisor_absent:
        return Verdict.ABSENT, probe.gvisor_absent
    stopped = probe.zones.get(zone, probe.expect)
    if in_gvisor and probe.gvisor:
        stopped = probe.gvisor
    if outcome in probe.unshown and (zone in probe.may or not _is_one_of(outcome, stopped)):
        return Verdict.ABSENT, probe.unshown[outcome]
    if zone in probe.may:
        if outcome == "ok":
            return Verdict.ALLOWED, probe.may[zone]
        return Verdict.RED, "the zone was to be allowed this; the catalog is wrong"
    if not _is_one_of(outcome, stopped):
        accepted = _accepted_by(probe, terms)
        if accepted:
            return Verdict.ABSENT, accepted
        wanted = " or ".join(stopped)
        return Verdict.RED, f"expected {wanted}"
    return _judge_control(probe, stopped, control, terms)


def _judge_control(
    probe: Probe, stopped: tuple[str, ...], control: str, terms: Terms
) -> tuple[Verdict, str]:
    """Return the verdict of an attack that was stopped as stated, by what its control shows."""
    if control in probe.control:
        return Verdict.GREEN, ""
    if control in probe.unshown:
        return Verdict.ABSENT, probe.unshown[control]
    if not probe.control:
        if control == "ENOSYS":
            return Verdict.ABSENT, "this host's kernel has no such call"
        if probe.host_may_lack and control in _NOTHING_THERE:
            return Verdict.ABSENT, "this host has no such thing to attack"
        if control not in REFUSALS and not _is_one_of(control, stopped):
            return Verdict.GREEN, ""
    if not terms.root and control in _DENIALS | set(probe.user_control):
        return Verdict.ABSENT, "this user cannot do it outside either"
    if control == "unbounded" and "cgroup" in terms.accepted:
        return Verdict.ABSENT, "no control group can bound the control (--allow-degraded=cgroup)"
    accepted = _accepted_by(probe, terms)
    if accepted:
        return Verdict.ABSENT, accepted
    return Verdict.INVALID, "the control did not succeed, so the line proves nothing"


def _accepted_by(probe: Probe, terms: Terms) -> str:
    """Return the reason, if the operator accepted that every wall of this probe is missing."""
    for name in sorted(terms.accepted):
        if set(probe.walls) <= _ACCEPTED_WALLS.get(name, frozenset()):
            return f"you accepted that this is missing (--allow-degraded={name})"
    return ""


def _is_one_of(outcome: str, stopped: tuple[str, ...]) -> bool:
    return any(same_weight(expected, outcome) for expected in stopped)
