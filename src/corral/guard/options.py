"""The numbers, lists and choices of a sanitation policy: `[policies.NAME.options]`.

Trust: gateway [net] and command line; data. Input: an operator's file, checked by these types.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

Base = Literal["strict", "balanced", "off"]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of all stages; each says which one reads it."""


BUILT_IN: Final[Mapping[Base, Options]] = MappingProxyType({
    "strict": Options(),
    "balanced": Options(),
    "off": Options(),
})  # fmt: skip
"""What the three policies that everybody has start from."""
