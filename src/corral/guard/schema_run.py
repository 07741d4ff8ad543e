"""One check of one value against a schema: what it finds, and how long it may take.

Trust: gateway [net]; pure. Input: hostile values, no deeper than `json_text.DEPTH_MAX`. No part of
a value is looked at twice by the same choice or definition, and a `Run` has so many steps and no
more: schema and value may both be written to make a check slow. No reference leads to itself
without a value in between (`schema_bounds` sees to that).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

STEPS_MAX: Final = 100_000
"""Some 0.1 s; an honest answer takes a few for each of its values."""

Reason = Literal[
    "not_json", "type", "value", "length", "pattern", "format", "range", "items", "duplicate",
    "missing_member", "unknown_member", "no_alternative", "several_alternatives", "effort",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flaw:
    """The first place where a value is not as its schema says.

    Attributes:
        place: such as `$.items[3].name`; only names of the schema are in it, none of the value's.
        reason: one word.
    """

    place: str
    reason: Reason


class EffortError(Exception):
    """A check takes more steps than it may."""


class Run:
    """One check of one value.

    Args:
        defs: the schema's definitions by name.
    """

    def __init__(self, defs: Mapping[str, Node]) -> None:
        self.defs = defs
        self._known: dict[tuple[int, int], Flaw | None] = {}
        self._steps = 0

    def step(self, number: int = 1) -> None:
        """Count steps.

        Raises:
            EffortError: these are too many.
        """
        self._steps += number
        if self._steps > STEPS_MAX:
            raise EffortError

    def once(self, node: Node, value: Any, look: Callable[[], Flaw | None]) -> Flaw | None:
        """Return what a node finds in a value, which lives as long as this; looks only once."""
        self.step()
        if not isinstance(value, dict | list):
            return look()
        key = (id(node), id(value))
        if key not in self._known:
            self._known[key] = look()
        return self._known[key]


class Node(Protocol):
    """What one value may be."""

    def flaw(self, value: Any, place: str, run: Run) -> Flaw | None:
        """Return where a value does not fit; None if it does."""

    def engine(self) -> dict[str, Any]:
        """Return it as the engine's converter takes it."""


def value_key(value: Any) -> tuple[str, Any]:
    """Return what is equal for equal values only: 1 is 1.0, but not true."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, int | float):
        return ("number", value)
    if isinstance(value, str):
        return ("string", value)
    return ("other", json.dumps(value, sort_keys=True))
