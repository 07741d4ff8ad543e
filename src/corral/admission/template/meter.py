"""What a rendering has used up; a rendering that uses too much ends.

Trust: scan jail. Input: values of untrusted templates. Counts turns of loops, calls and characters,
which are the same on every machine, and the processor's time as a last wall. The scan jail allows
no timers (no `setitimer`), so that each counted event looks at the clock instead.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

from jinja2 import Undefined

from corral.admission.template.limits import (
    CONTAINER_ITEMS,
    CPU_S,
    INTEGER,
    OUTPUT_CHARS,
    PRODUCED_CHARS,
    STEPS,
    STRING_CHARS,
)

_PARSED_BITS: Final = 64


class OverLimitError(Exception):
    """The rendering uses more than any template needs."""


class Meter:
    """Counts what all renderings of one template use, each within its own bounds.

    Attributes:
        ways: that any of them has taken.
    """

    def __init__(self) -> None:
        self._until_s = time.process_time() + CPU_S
        self._steps = STEPS
        self._produced = PRODUCED_CHARS
        self._output = OUTPUT_CHARS
        self.ways: set[str] = set()

    def start(self) -> None:
        """Begin another rendering."""
        self._steps, self._produced, self._output = STEPS, PRODUCED_CHARS, OUTPUT_CHARS

    def charge(self, cost: int) -> str:
        """Count evaluated nodes; an empty text, so that templates can hold it.

        Raises:
            OverLimitError: there were too many, or they took too long.
        """
        self._steps -= cost
        if self._steps < 0 or time.process_time() > self._until_s:
            raise OverLimitError
        return ""

    def gone(self, way: str) -> str:
        """Note that a way was taken; an empty text, so that templates can hold it."""
        self.ways.add(way)
        return ""

    def kept(self, value: object, way: str) -> object:
        """Note that a way was taken to a value, and return it."""
        self.ways.add(way)
        return value

    def turns(self, values: Iterable[object], cost: int) -> Iterator[object]:
        """Yield the values of a loop and count its turns."""
        for value in values:
            self.charge(cost)
            yield value

    def grown(self, value: object) -> object:
        """Count a value that was made, and return it.

        Raises:
            OverLimitError: it is too large, or all together are.
        """
        self.charge(1)
        if isinstance(value, str):
            if len(value) > STRING_CHARS:
                raise OverLimitError
            self._produced -= len(value)
        elif isinstance(value, int):
            if value.bit_length() > _PARSED_BITS:
                raise OverLimitError
        elif isinstance(value, list | tuple | dict):
            self._produced -= weight(value)
        if self._produced < 0:
            raise OverLimitError
        return value

    def text(self, value: object) -> str:
        """Return a value as text, counted.

        Raises:
            OverLimitError: it is too large, or all together are.
        """
        if isinstance(value, list | tuple | dict):
            weight(value)  # before a text is made of all its items
        return str(self.grown(str(value)))

    def emit(self, value: object) -> str:
        """Return what is printed for a value, counted as output too."""
        text = self.text(value)
        self._output -= len(text)
        if self._output < 0:
            raise OverLimitError
        return text

    def concat(self, values: list[object]) -> str:
        """Return the texts of some values as one."""
        return str(self.grown("".join(self.text(value) for value in values)))

    def numbers(self, *bounds: int) -> range:
        """Return a range that an engine can count.

        Raises:
            OverLimitError: it is too long.
        """
        if any(abs(bound) >= INTEGER for bound in bounds) or len(range(*bounds)) > CONTAINER_ITEMS:
            raise OverLimitError
        return range(*bounds)


def weight(value: object) -> int:
    """Return how much would be printed of a value, shared parts counted each time.

    Raises:
        OverLimitError: it is too much; a value may hold itself twice, and so on.
    """
    total, waiting = 0, [value]
    while waiting:
        part = waiting.pop()
        total += 1
        if isinstance(part, str):
            total += len(part)
        elif isinstance(part, dict):
            waiting += part
            waiting += part.values()
        elif isinstance(part, list | tuple):
            waiting += part
        if total > STRING_CHARS or len(waiting) > CONTAINER_ITEMS:
            raise OverLimitError
    return total


def is_missing(value: object) -> bool:
    """Return whether a name had no value."""
    return isinstance(value, Undefined)
