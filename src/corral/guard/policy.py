"""A sanitation policy: what is done with each kind of finding, and for whose requests.

Trust: gateway [net] and command line; pure. Input: an operator's choices, already of these types.

    strict     refuse what is suspicious
    balanced   the default: clean what can be cleaned, refuse what no honest text has
    off        only the walls stand; whoever sets it has to say why, by name

A wall is a kind that no policy lets pass: what is behind it cannot defend itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, get_args

from corral.guard.finding import Handling
from corral.guard.kinds import KINDS, Kind
from corral.guard.options import BUILT_IN, Base, Options

Mode = Literal["enforce", "report"]
BASES: Final[tuple[Base, ...]] = get_args(Base)
DEFAULT: Final[Base] = "balanced"
_ACTS: Final = frozenset({Handling.CLEAN, Handling.REFUSE})


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SanitationPolicy:
    """One policy.

    Attributes:
        name: one of `BASES`, or the operator's own.
        mode: `report` looks, counts and tells, and changes nothing; walls stand all the same.
        handling: what is done with each of `KINDS`.
        weakening: why it is weaker than `balanced`; an `off` without it cannot be made.
    """

    name: str
    base: Base
    mode: Mode = "enforce"
    handling: Mapping[str, Handling]
    options: Options = field(default_factory=Options)
    weakening: str = ""

    def __post_init__(self) -> None:
        if set(self.handling) != set(KINDS):
            raise ValueError("a policy says of each kind what is done with it")

    def effective(self) -> Mapping[str, Handling]:
        """Return what is really done with each kind, in this mode."""
        if self.mode == "enforce":
            return self.handling
        return MappingProxyType({
            name: Handling.REPORT if one in _ACTS and not KINDS[name].wall else one
            for name, one in self.handling.items()
        })  # fmt: skip


def handling_of(kind: Kind, base: Base) -> Handling:
    """Return what a built-in policy does with a kind."""
    if base == "strict":
        return kind.strict
    if base == "balanced" or kind.wall:
        return kind.balanced
    return Handling.ALLOW


def built_in(base: Base) -> SanitationPolicy:
    """Return one of the policies that everybody has."""
    return SanitationPolicy(
        name=base,
        base=base,
        handling=MappingProxyType({name: handling_of(one, base) for name, one in KINDS.items()}),
        options=BUILT_IN[base],
        weakening="built in" if base == "off" else "",
    )
