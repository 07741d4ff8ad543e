"""What a fuzz target is: a property that no input may break, and inputs to start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One property.

    Attributes:
        name: also the first part of the names of its files in tests/regressions.
        check: returns if the property holds for these bytes, raises if not.
        seeds: sound inputs, from which broken ones are made.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
