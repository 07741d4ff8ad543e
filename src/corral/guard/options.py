"""The numbers, lists and choices of a sanitation policy: `[policies.NAME.options]`.

Trust: gateway [net] and command line; data. Input: an operator's file, checked by these types.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from corral.guard.characters import SCRIPT_NAMES
from corral.guard.finding import Origin

Base = Literal["strict", "balanced", "off"]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of all stages; each says which one reads it.

    Attributes:
        scripts: unicode: Unicode's names of scripts (`Latin`, `Greek`, ...) that texts may be
            written in; empty allows all.
        html_origins: html: whose texts are looked at.
    """

    scripts: tuple[str, ...] = ()
    html_origins: tuple[Origin, ...] = ("tool", "document")

    def __post_init__(self) -> None:
        """Check what the types do not say.

        Raises:
            ValueError: an option has a value that no stage knows.
        """
        if unknown := set(self.scripts) - SCRIPT_NAMES:
            raise ValueError(f"no script of Unicode is called {min(unknown)}")


BUILT_IN: Final[Mapping[Base, Options]] = MappingProxyType({
    "strict": Options(),
    "balanced": Options(),
    "off": Options(),
})  # fmt: skip
"""What the three policies that everybody has start from."""
