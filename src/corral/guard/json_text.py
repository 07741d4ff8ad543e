"""JSON as strangers write it: read once, strictly, into plain values.

Trust: gateway [net]; pure. Input: hostile text. What two readers could take in two ways is refused:
an object that names a member twice, halves of surrogate pairs, numbers that are no number, values
nested deeper than `DEPTH_MAX`. Spec: RFC 8259 and its advice in RFC 7493 (I-JSON).
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

DEPTH_MAX: Final = 64


class JsonError(ValueError):
    """The text is not JSON as it is taken here; the message says why, in words of ours."""


def read_json(text: str, *, values_max: int | None = None) -> Any:
    """Return the value of a JSON text.

    Args:
        text: of any length.
        values_max: most values and names in it; None for any number.

    Raises:
        JsonError: it is not JSON, or could be read in two ways.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float
        )
    except JsonError:
        raise
    except (ValueError, RecursionError):
        raise JsonError("it is not JSON") from None
    check_value(value, values_max=values_max)
    return value


def check_value(value: Any, *, values_max: int | None = None) -> int:
    """Look at a value as a whole, without recursion; return how many values and names it has.

    Args:
        value: plain values as `json.loads` makes them.
        values_max: most values and names in it; None for any number.

    Raises:
        JsonError: it is too deep or too large, or is not made of what JSON has.
    """
    level = [value]
    seen = 0
    for _ in range(DEPTH_MAX):
        following: list[Any] = []
        for one in level:
            seen += 1
            if isinstance(one, dict):
                seen += len(one)
                for name in one:
                    _check_text(name)
                following += one.values()
            elif isinstance(one, list | tuple):
                following += one
            else:
                _check_scalar(one)
            if values_max is not None and seen + len(following) > values_max:
                raise JsonError("it has too many values")
        if not following:
            return seen
        level = following
    raise JsonError("it is nested too deeply")


def _check_scalar(value: Any) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise JsonError("a number in it is out of range")
    elif value is not None and not isinstance(value, int):
        raise JsonError("it is not JSON")


def _check_text(text: Any) -> None:
    if not isinstance(text, str):
        raise JsonError("it is not JSON")
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise JsonError("a text in it is not Unicode")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise JsonError("an object in it names a member twice")
    return found


def _constant(_: str) -> Any:
    raise JsonError("a number in it is out of range")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JsonError("a number in it is out of range")
    return value
