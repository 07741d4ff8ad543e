"""Typed look-ups in the key-value pairs of a file: a value of another type or range is a refusal.

Trust: scan jail. Input: untrusted values of sound structure. The engine aborts the whole process on
some values of a wrong type, so nothing is converted here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.metadata import BOOL, STRING, Value

INTEGERS: Final = frozenset({0, 1, 2, 3, 4, 5, 10, 11})
FLOATS: Final = frozenset({6, 12})
_LISTED: Final = 4096
"""No list of one number for each layer is longer."""


class Values:
    """The key-value pairs of one file."""

    def __init__(self, values: dict[str, Value]) -> None:
        self._values = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        """Yield the keys in the order of the file."""
        return iter(self._values)

    def text(self, key: str, default: str) -> str:
        """Return a string.

        Raises:
            ScanRefusal: code `kv_type_expected`.
        """
        value = self._values.get(key)
        if value is None:
            return default
        if value.is_array or value.kind != STRING:
            raise _other_type(key)
        return str(value.items[0])

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a boolean.

        Raises:
            ScanRefusal: code `kv_type_expected`.
        """
        value = self._values.get(key)
        if value is None:
            return default
        if value.is_array or value.kind != BOOL:
            raise _other_type(key)
        return bool(value.items[0])

    def integer(self, key: str, code: str, low: int, high: int, default: int | None = None) -> int:
        """Return an integer within `low` and `high`.

        Raises:
            ScanRefusal: `code`, `kv_type_expected`, or `not_a_model` where there is no default.
        """
        value = self._values.get(key)
        if value is None:
            if default is None:
                raise ScanRefusal("not_a_model", "a needed value is missing", key.encode())
            return default
        if value.is_array:
            raise _other_type(key)
        return _ranged(value, key, code, low, high)[0]

    def number(self, key: str, code: str, low: float, high: float) -> float | None:
        """Return a float within `low` and `high`, or None where the key is missing.

        Raises:
            ScanRefusal: `code`, `float_nonfinite` or `kv_type_expected`.
        """
        value = self._values.get(key)
        if value is None:
            return None
        if value.is_array or value.kind not in FLOATS:
            raise _other_type(key)
        number = float(value.items[0])
        if not math.isfinite(number):
            raise ScanRefusal("float_nonfinite", "a number is not finite", key.encode())
        if not low <= number <= high:
            raise ScanRefusal(code, "a value is out of its range", key.encode())
        return number

    def each(
        self,
        key: str,
        code: str,
        layers: int,
        default: tuple[int, ...] | None,
        high: int = 1 << 14,
    ) -> tuple[int, ...]:
        """Return one number for each layer; a scalar counts for all of them.

        Raises:
            ScanRefusal: `code`, `hparam_array` or `kv_type_expected`.
        """
        value = self._values.get(key)
        if value is None:
            return default if default is not None else (0,) * layers
        low = 0 if value.is_array else 1
        found = _ranged(value, key, code, low, high)
        if not value.is_array:
            return found * layers
        if len(found) != layers:
            raise ScanRefusal("hparam_array", "a list has not one item per layer", key.encode())
        return found

    def array(self, key: str) -> Value | None:
        """Return a list of whatever type, or None.

        Raises:
            ScanRefusal: code `kv_type_expected`.
        """
        value = self._values.get(key)
        if value is not None and not value.is_array:
            raise _other_type(key)
        return value

    def value(self, key: str) -> Value:
        """Return the raw value of a key that is there."""
        return self._values[key]


def _ranged(value: Value, key: str, code: str, low: int, high: int) -> tuple[int, ...]:
    if value.kind not in INTEGERS:
        raise _other_type(key)
    numbers = tuple(int(item) for item in value.items[:_LISTED])
    few = 1 <= len(value.items) <= _LISTED
    if not few or not all(low <= number <= high for number in numbers):
        raise ScanRefusal(code, "a value is out of its range", key.encode())
    return numbers


def _other_type(key: str) -> ScanRefusal:
    return ScanRefusal("kv_type_expected", "a value is not of its type", key.encode())
