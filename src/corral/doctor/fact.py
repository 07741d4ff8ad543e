"""One fact about this host, and the report that holds all of them; pure.

Trust: operator side. Input: what the other modules of this package saw.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final, Literal

State = Literal["enforced", "absent", "host-owned"]
"""`enforced`: every jail has this wall, because corral makes it and the host allows it. `absent`:
it is not there, and `remedy` says what to do. `host-owned`: only the host can change it; corral
reports what it saw and claims nothing."""
SCHEMA: Final = 1
"""Version of the JSON document; raised when a name or a meaning changes, not for new facts."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of `corral doctor`.

    Attributes:
        name: stable, for scripts.
        detail: what was seen.
        remedy: what the operator can do; never empty for `absent`.
        needed: corral does not start while this is absent.
        accepted: it is absent and the operator accepted that by name (`--allow-degraded`).
    """

    name: str
    state: State
    detail: str
    remedy: str = ""
    needed: bool = False
    accepted: bool = False

    @property
    def blocks(self) -> bool:
        """Return whether corral cannot start because of this."""
        return self.state == "absent" and self.needed and not self.accepted


@dataclass(frozen=True, slots=True)
class Flaw:
    """A published flaw of a runtime that is installed here.

    Attributes:
        id: CVE number.
        runtime: name of the OCI runtime.
        status: `fixed`: by the installed version. `fixed-by-distribution`: the data names a package
            version with the fix, and it is installed. `open`: neither is known.
        reached: corral's way of using the runtime meets the conditions of the flaw.
        meaning: what it means for corral.
    """

    id: str
    runtime: str
    status: Literal["fixed", "fixed-by-distribution", "open"]
    title: str
    fixed_in: tuple[str, ...]
    reached: bool
    meaning: str
    source: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found.

    Attributes:
        facts: in the order in which they are shown.
        flaws: of the runtimes found, fixed ones too.
        probed_at: Unix seconds.
        waived: what the operator accepted by name and no fact here can judge.
    """

    facts: tuple[Fact, ...]
    flaws: tuple[Flaw, ...]
    probed_at: int
    waived: tuple[str, ...] = ()

    @property
    def can_start(self) -> bool:
        """Return whether nothing that corral needs is absent."""
        return not any(fact.blocks for fact in self.facts)

    @property
    def degraded(self) -> tuple[str, ...]:
        """Return the walls that are absent by the operator's leave, or may be."""
        return (*(fact.name for fact in self.facts if fact.accepted), *self.waived)

    def document(self) -> dict[str, object]:
        """Return the JSON document of `corral doctor --json` and `GET /admin/v1/host`."""
        return {
            "schema": SCHEMA,
            "probed_at": self.probed_at,
            "can_start": self.can_start,
            "degraded": list(self.degraded),
            "facts": [asdict(fact) for fact in self.facts],
            "flaws": [asdict(flaw) for flaw in self.flaws],
        }
