"""What keywords of a schema hold: types, counts, numbers, formats, patterns.

Trust: gateway [net]; pure. Input: a hostile schema, bounded in depth and number of values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

import re2

from corral.guard.schema_refusal import refused

PATTERN_CHARACTERS_MAX: Final = 512
COUNT_MAX: Final = 1 << 31
NUMBER_MAX: Final = 10**15
UNICODE_CLASSES_MAX: Final = 8
"""Of one pattern: to read one takes some 0.2 ms, whatever becomes of it."""
_UNICODE_CLASS: Final = re.compile(r"\\[pP]")
_RE2_BYTES: Final = 1 << 16
"""Of one compiled pattern; what needs more is refused within a millisecond."""
_LOW: Final = ("minimum", "exclusiveMinimum")
_HIGH: Final = ("maximum", "exclusiveMaximum")
BOUNDS: Final = _LOW + _HIGH
TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")


def types_of(schema: dict[str, Any], at: str) -> list[str]:
    """Return the types that a value may have; none if that is not said."""
    found = schema.get("type", [])
    types = [found] if isinstance(found, str) else found
    if (
        not isinstance(types, list)
        or len(types) > len(TYPES)
        or not all(isinstance(one, str) and one in TYPES for one in types)
        or ("type" in schema and not types)
    ):
        raise refused(f"{at}.type", "this is a type of JSON, or a list of them")
    return list(dict.fromkeys(types))


def counts_of(
    schema: dict[str, Any], at: str, low: str, high: str, most_least: int
) -> tuple[int, int | None]:
    """Return a least and a greatest number of things."""
    least, most = schema.get(low, 0), schema.get(high)
    for word, one in ((low, least), (high, 0 if most is None else most)):
        if isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < COUNT_MAX:
            raise refused(f"{at}.{word}", "this is a whole number, not below 0")
    if least > most_least:
        raise refused(f"{at}.{low}", f"this is at most {most_least}")
    if most is not None and least > most:
        raise refused(f"{at}.{high}", "this is below the least number")
    return least, most


def number_of(value: Any, at: str) -> int | float:
    """Return a number that the engine can count with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused(at, "this is a number")
    if abs(value) > NUMBER_MAX:
        raise refused(at, f"this is a number from -{NUMBER_MAX} to {NUMBER_MAX}")
    if value != 0 and abs(value) < 1 / NUMBER_MAX:
        raise refused(at, "this number is too near to zero")
    return value


def range_of(
    bounds: Sequence[tuple[str, int | float]], kind: str, at: str
) -> tuple[tuple[str, int | float], ...]:
    """Return bounds that a number can be within; of whole numbers, their least and greatest."""
    low = max((bound for word, bound in bounds if word in _LOW), default=None)
    high = min((bound for word, bound in bounds if word not in _LOW), default=None)
    if kind == "integer":
        least = [
            math.floor(b) + 1 if word == _LOW[1] else math.ceil(b)
            for word, b in bounds
            if word in _LOW
        ]
        most = [
            math.ceil(b) - 1 if word == _HIGH[1] else math.floor(b)
            for word, b in bounds
            if word in _HIGH
        ]
        low, high = max(least, default=None), min(most, default=None)
        bounds = [
            (word, one) for word, one in ((_LOW[0], low), (_HIGH[0], high)) if one is not None
        ]
    is_open = any(word.startswith("exclusive") for word, _ in bounds)
    if low is not None and high is not None and (low > high or (low == high and is_open)):
        raise refused(at, "no number is within these bounds")
    return tuple(bounds)


def format_of(schema: dict[str, Any], at: str) -> str:
    """Return the name of a format; empty for none."""
    found = schema.get("format", "")
    if not isinstance(found, str):
        raise refused(f"{at}.format", "this is a name")
    return found


def pattern_of(schema: dict[str, Any], at: str) -> Any:
    """Return a compiled pattern; None for none."""
    found = schema.get("pattern")
    if found is None:
        return None
    if not isinstance(found, str) or len(found) > PATTERN_CHARACTERS_MAX:
        raise refused(at, f"this is a text of at most {PATTERN_CHARACTERS_MAX} characters")
    if len(_UNICODE_CLASS.findall(found)) > UNICODE_CLASSES_MAX:
        raise refused(at, f"it names more than {UNICODE_CLASSES_MAX} classes of Unicode")
    options = re2.Options()
    options.max_mem = _RE2_BYTES
    options.log_errors = False
    try:
        return re2.compile(found, options)
    except re2.error:
        raise refused(at, "this is no regular expression of RE2") from None
