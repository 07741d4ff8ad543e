"""What a schema says of lists, objects and choices: plain parts that check and are written out.

Trust: gateway [net]; pure. Input: hostile values; `schema_run` bounds what a check costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from corral.guard.schema_run import Flaw, Node, Run, value_key

STEERED_ITEMS_MAX: Final = 1024
"""Counts up to this the engine is told; a larger maximum is only looked at in the answer."""


@dataclass(frozen=True, slots=True)
class AnyValue:
    """Any JSON value; the engine is held to a depth, by `ANY_DEFS`."""

    def flaw(self, value: Any, place: str, run: Run) -> Flaw | None:
        """Return nothing: all fits."""
        return None

    def engine(self) -> dict[str, Any]:
        """Return a reference into `ANY_DEFS`."""
        return {"$ref": "#/$defs/any0"}


_ANY_DEPTH: Final = 8


def _any_def(depth: int) -> dict[str, Any]:
    scalar: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}
    if depth == _ANY_DEPTH:
        return scalar
    inner = {"$ref": f"#/$defs/any{depth + 1}"}
    array = {"type": "array", "items": inner}
    return {"anyOf": [scalar, array, {"type": "object", "additionalProperties": inner}]}


ANY_DEFS: Final[Mapping[str, Any]] = MappingProxyType(
    {f"any{depth}": _any_def(depth) for depth in range(_ANY_DEPTH + 1)}
)
"""A value of any kind, `_ANY_DEPTH` levels deep: a model could open brackets for ever."""


@dataclass(frozen=True, slots=True)
class Array:
    """A list of alike items."""

    items: Node
    least: int = 0
    most: int | None = None
    unique: bool = False

    def flaw(self, value: Any, place: str, run: Run) -> Flaw | None:
        """Return the first flaw of the list or of an item."""
        if not isinstance(value, list | tuple):
            return Flaw(place, "type")
        if len(value) < self.least or (self.most is not None and len(value) > self.most):
            return Flaw(place, "items")
        for index, item in enumerate(value):
            run.step()
            found = self.items.flaw(item, f"{place}[{index}]", run)
            if found is not None:
                return found
        if self.unique and len({value_key(item) for item in value}) < len(value):
            return Flaw(place, "duplicate")
        return None

    def engine(self) -> dict[str, Any]:
        """Return items and their number; that they differ is only looked at in the answer."""
        found: dict[str, Any] = {"type": "array", "items": self.items.engine()}
        if self.least:
            found["minItems"] = self.least
        if self.most is not None and self.most <= STEERED_ITEMS_MAX:
            found["maxItems"] = self.most
        return found


@dataclass(frozen=True, slots=True)
class Tuple:
    """A list of a fixed number of items, each of its own kind."""

    items: tuple[Node, ...]

    def flaw(self, value: Any, place: str, run: Run) -> Flaw | None:
        """Return the first flaw of the list or of an item."""
        if not isinstance(value, list | tuple):
            return Flaw(place, "type")
        if len(value) != len(self.items):
            return Flaw(place, "items")
        for index, (node, item) in enumerate(zip(self.items, value, strict=True)):
            found = node.flaw(item, f"{place}[{index}]", run)
            if found is not None:
                return found
        return None

    def engine(self) -> dict[str, Any]:
        """Return the items, and that there are no others."""
        number = len(self.items)
        items = [node.engine() for node in self.items]
        return {
            "type": "array", "prefixItems": items, "items": False,
            "minItems": number, "maxItems": number,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Object:
    """An object.

    Attributes:
        members: by name, in the order in which the engine writes them.
        required: names that must be there.
        others: what a member of another name may be; None if there must be none.
    """

    members: Mapping[str, Node]
    required: frozenset[str]
    others: Node | None

    def flaw(self, value: Any, place: str, run: Run) -> Flaw | None:
        """Return the first flaw of the object or of a member."""
        if not isinstance(value, dict):
            return Flaw(place, "type")
        for name, node in self.members.items():
            run.step()
            if name in value:
                found = node.flaw(value[name], f"{place}.{name}", run)
                if found is not None:
                    return found
            elif name in self.required:
                return Flaw(f"{place}.{name}", "missing_member")
        for name, member in value.items():
            run.step()
            if name in self.members:
                continue
            if self.others is None:
                return Flaw(place, "unknown_member")
            found = self.others.flaw(member, f"{place}.*", run)
            if found is not None:
                return found
        return None

    def engine(self) -> dict[str, Any]:
        """Return the members, always with whether there may be others."""
        return {
            "type": "object",
            "properties": {name: node.engine() for name, node in self.members.items()},
            "required": [name for name in self.members if name in self.required],
            "additionalProperties": False if self.others is None else self.others.engine(),
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several, exactly one if `single`; the engine is not told the difference."""

    alternatives: tuple[Node, ...]
    single: bool = False

    def flaw(self, value: Any, place: str, run: Run) -> Flaw | None:
        """Return a flaw if none fits, or more than one where only one may."""
        return run.once(self, value, lambda: self._look(value, place, run))

    def _look(self, value: Any, place: str, run: Run) -> Flaw | None:
        fitting = 0
        for node in self.alternatives:
            run.step()
            fitting += node.flaw(value, place, run) is None
            if fitting and not self.single:
                return None
            if fitting > 1:
                return Flaw(place, "several_alternatives")
        return None if fitting else Flaw(place, "no_alternative")

    def engine(self) -> dict[str, Any]:
        """Return it as `anyOf`."""
        return {"anyOf": [node.engine() for node in self.alternatives]}


@dataclass(frozen=True, slots=True)
class Ref:
    """What a definition says."""

    name: str

    def flaw(self, value: Any, place: str, run: Run) -> Flaw | None:
        """Return the flaw that the definition finds."""
        node = run.defs[self.name]
        return run.once(node, value, lambda: node.flaw(value, place, run))

    def engine(self) -> dict[str, Any]:
        """Return a reference."""
        return {"$ref": f"#/$defs/{self.name}"}
