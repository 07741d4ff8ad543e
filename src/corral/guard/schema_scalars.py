"""What a schema says of texts, numbers, truth values and null.

Trust: gateway [net]; pure. Input: hostile values.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import re2

from corral.guard.schema_run import Flaw, Run, value_key

STEERED_CHARACTERS_MAX: Final = 4096
"""Lengths up to this the engine is told; a larger maximum is only looked at in the answer."""
_PATTERN_WORK: Final = 64
"""Characters times instructions that are a step: RE2 may walk through all of both."""


@dataclass(frozen=True, slots=True)
class Literals:
    """One of a few scalars.

    Attributes:
        values: as they are written.
        keys: of `scalar_key`.
    """

    values: tuple[Any, ...]
    keys: frozenset[Any]

    def flaw(self, value: Any, place: str, run: Run) -> Flaw | None:
        """Return a flaw unless the value is one of them."""
        if isinstance(value, dict | list):
            return Flaw(place, "type")
        return None if value_key(value) in self.keys else Flaw(place, "value")

    def engine(self) -> dict[str, Any]:
        """Return it as `enum`."""
        return {"enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false."""

    def flaw(self, value: Any, place: str, run: Run) -> Flaw | None:
        """Return a flaw of anything else."""
        return None if isinstance(value, bool) else Flaw(place, "type")

    def engine(self) -> dict[str, Any]:
        """Return the type."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Null:
    """Nothing."""

    def flaw(self, value: Any, place: str, run: Run) -> Flaw | None:
        """Return a flaw of anything else."""
        return None if value is None else Flaw(place, "type")

    def engine(self) -> dict[str, Any]:
        """Return the type."""
        return {"type": "null"}


@dataclass(frozen=True, slots=True)
class Number:
    """A number; whole ones only, if `whole`.

    Attributes:
        bounds: by keyword: minimum, maximum, exclusiveMinimum, exclusiveMaximum.
    """

    whole: bool
    bounds: tuple[tuple[str, int | float], ...] = ()

    def flaw(self, value: Any, place: str, run: Run) -> Flaw | None:
        """Return a flaw of another type, or a number out of its bounds."""
        kinds = int if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return Flaw(place, "type")
        if all(_WITHIN[keyword](value, bound) for keyword, bound in self.bounds):
            return None
        return Flaw(place, "range")

    def engine(self) -> dict[str, Any]:
        """Return type and bounds."""
        return {"type": "integer" if self.whole else "number", **dict(self.bounds)}


_WITHIN: Final[Mapping[str, Callable[[Any, Any], bool]]] = MappingProxyType({
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """A string; lengths are counted in code points.

    Attributes:
        pattern: RE2, found anywhere in it; None for none.
        format: one of `FORMATS`; empty for none.
    """

    least: int = 0
    most: int | None = None
    pattern: Any = None
    format: str = ""

    def flaw(self, value: Any, place: str, run: Run) -> Flaw | None:
        """Return a flaw of another type, length or form."""
        if not isinstance(value, str):
            return Flaw(place, "type")
        if len(value) < self.least or (self.most is not None and len(value) > self.most):
            return Flaw(place, "length")
        if self.pattern is not None:
            run.step(1 + len(value) * self.pattern.programsize // _PATTERN_WORK)
            if self.pattern.search(value) is None:
                return Flaw(place, "pattern")
        if self.format and not FORMATS[self.format](value):
            return Flaw(place, "format")
        return None

    def engine(self) -> dict[str, Any]:
        """Return type, lengths and format; a pattern is only looked at in the answer."""
        found: dict[str, Any] = {"type": "string"}
        if self.format:
            return {**found, "format": self.format}
        if self.least:
            found["minLength"] = self.least
        if self.most is not None and self.most <= STEERED_CHARACTERS_MAX:
            found["maxLength"] = self.most
        return found


def _is_like(pattern: str) -> Callable[[str], bool]:
    compiled = re2.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _is_address(kind: type) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            kind(text)
        except ValueError:
            return False
        return "%" not in text

    return check


_DATE: Final = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME: Final = (
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
FORMATS: Final[Mapping[str, Callable[[str], bool]]] = MappingProxyType({
    "date": _is_like(_DATE),
    "time": _is_like(_TIME),
    "date-time": _is_like(f"{_DATE}[Tt ]{_TIME}"),
    "uuid": _is_like("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "ipv4": _is_address(ipaddress.IPv4Address),
    "ipv6": _is_address(ipaddress.IPv6Address),
})  # fmt: skip
"""The formats that hold; all others say something to people, as JSON Schema has it."""
