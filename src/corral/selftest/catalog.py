"""The probes as data: what each tries, what stops it in which zone, and what its control must show.

Trust: operator side. Input: our own files `data/*.toml`; a field that is not known is an error, so
that a misspelt expectation cannot silently vanish.

Fields of a probe: `title`; `walls` that stop it; `expect`, the outcomes that mean stopped, each the
exact error name or fact; `engine`, `scan`, `guard`, `media`, `fetch`, `gateway`, `sealed`, the same
for one zone; `<zone>_may`, why this zone may do it (then the outcome must be `ok`); `gvisor`,
outcomes under gVisor; `gvisor_absent`, why gVisor cannot have the wall; `control`, the outcomes
that mean that the attack works outside (default: `ok`, or any error but a refusal);
`host_may_lack`: the attack has no object on some hosts; `unshown`: an outcome, here or of the
control, that neither proves nor disproves, and why; `user_control`: outcomes of the control that
say that a user without root is held by the same wall; `only`: zones that it makes sense in;
`alone`: in a jail of its own; `last`: it replaces the process if it gets through, so its control
has a process of its own; `exhausts`: part of `--full` only; `look`: read from outside; `scenario`:
the one of SandboxEscapeBench that it stands for.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

ZONES: Final = ("engine", "scan", "guard", "media", "fetch", "gateway")
SEALED: Final = "sealed"
"""The engine's zone after its second phase: probes with a `sealed` outcome run there too."""
_FILES: Final = (
    "files", "proc", "links", "network", "processes", "kernel", "memory", "privileges", "resources",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Probe:
    """One attack; the module's docstring names the fields.

    Attributes:
        zones: zone -> outcomes that mean stopped there.
        may: zone -> why it may do this.
    """

    id: str
    subject: str
    title: str
    walls: tuple[str, ...]
    expect: tuple[str, ...]
    zones: dict[str, tuple[str, ...]]
    may: dict[str, str]
    gvisor: tuple[str, ...]
    gvisor_absent: str
    control: tuple[str, ...]
    host_may_lack: bool
    unshown: dict[str, str]
    user_control: tuple[str, ...]
    only: tuple[str, ...]
    alone: bool
    last: bool
    exhausts: bool
    look: bool
    scenario: str


@cache
def load_catalog() -> dict[str, Probe]:
    """Return every probe by id.

    Raises:
        ValueError: a field is not known or missing.
    """
    found: dict[str, Probe] = {}
    folder = resources.files("corral.selftest").joinpath("data")
    for name in _FILES:
        for probe_id, table in tomllib.loads(folder.joinpath(f"{name}.toml").read_text()).items():
            if probe_id in found:
                raise ValueError(f"{probe_id} is there twice")
            found[probe_id] = parse_probe(probe_id, name, table)
    return found


def parse_probe(probe_id: str, subject: str, table: dict[str, Any]) -> Probe:
    """Return one probe.

    Raises:
        ValueError: a field is not known or missing.
    """
    table = dict(table)
    sealed = SEALED in table
    try:
        probe = Probe(
            id=probe_id,
            subject=subject,
            title=table.pop("title"),
            walls=tuple(table.pop("walls")),
            expect=tuple(table.pop("expect")),
            zones={z: tuple(table.pop(z)) for z in (*ZONES, SEALED) if z in table},
            may={z: table.pop(f"{z}_may") for z in ZONES if f"{z}_may" in table},
            gvisor=tuple(table.pop("gvisor", ())),
            gvisor_absent=table.pop("gvisor_absent", ""),
            control=tuple(table.pop("control", ())),
            host_may_lack=table.pop("host_may_lack", False),
            unshown=dict(table.pop("unshown", {})),
            user_control=tuple(table.pop("user_control", ())),
            only=(*table.pop("only", ZONES), *((SEALED,) if sealed else ())),
            alone=table.pop("alone", False),
            last=table.pop("last", False),
            exhausts=table.pop("exhausts", False),
            look=table.pop("look", False),
            scenario=table.pop("scenario", ""),
        )
    except KeyError as error:
        raise ValueError(f"{probe_id} lacks {error}") from error
    if table:
        raise ValueError(f"{probe_id} has unknown fields: {', '.join(table)}")
    return probe
