"""JSON Schemas of callers: a closed subset, bounded before it costs, and what an answer is held to.

Trust: gateway [net]; pure. Input: a hostile schema; hostile values. Three things follow from one
reading, so that they cannot differ: what is refused, what the engine is told (`Schema.text`), and
what an answer is looked at for (`Schema.check`). The engine is only steered: it drops a schema that
it cannot work with without a word (docs/adr/0030-schemas.md), and it is hostile anyway. What counts
is the check.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from corral.guard.json_text import JsonError, check_value, read_json
from corral.guard.schema_bounds import parts, whole_flaw
from corral.guard.schema_nodes import ANY_DEFS, AnyValue
from corral.guard.schema_reading import PATTERNS_MAX, Reading
from corral.guard.schema_refusal import SchemaError, refused
from corral.guard.schema_run import EffortError, Flaw, Node, Run

__all__ = ["Flaw", "Schema", "SchemaError", "parse_schema"]

SCHEMA_BYTES_MAX: Final = 64 * 1024
SCHEMA_VALUES_MAX: Final = 8192
ANSWER_CHARACTERS_MAX: Final = 256 * 1024
"""Longest text that is looked at; whatever needs a longer one is refused."""
_ENGINE: Final = {"whitespace_flexible": False}
"""No space between the parts: small models go on with spaces for ever."""


class Schema:
    """A schema that is taken; made by `parse_schema`.

    Attributes:
        text: JSON for the engine's field `json_schema`; built anew, nothing is passed on.
        patterns: how many it has.
    """

    __slots__ = ("_defs", "patterns", "text")

    def __init__(self, defs: Mapping[str, Node], patterns: int) -> None:
        self._defs = defs
        self.patterns = patterns
        told: dict[str, Any] = {name: node.engine() for name, node in defs.items()}
        if any(isinstance(one, AnyValue) for node in defs.values() for one in parts(node)):
            told.update(ANY_DEFS)
        whole = {"$ref": "#/$defs/root", "$defs": told, "x-guidance": _ENGINE}
        self.text = json.dumps(whole, separators=(",", ":"))

    def check(self, value: Any) -> Flaw | None:
        """Return the first place where a value of JSON does not fit; None if it fits.

        Args:
            value: plain values: dict, list, str, int, float, bool, None.
        """
        try:
            check_value(value)
            return self._defs["root"].flaw(value, "$", Run(self._defs))
        except JsonError:
            return Flaw("$", "not_json")
        except EffortError:
            return Flaw("$", "effort")

    def check_text(self, text: str) -> Flaw | None:
        """Return the first place where a JSON text does not fit, or that it is no JSON."""
        if len(text) > ANSWER_CHARACTERS_MAX:
            return Flaw("$", "effort")
        try:
            value = read_json(text)
        except JsonError:
            return Flaw("$", "not_json")
        return self.check(value)


def parse_schema(value: object, param: str, *, patterns_max: int = PATTERNS_MAX) -> Schema:
    """Read a schema of a caller.

    Args:
        value: plain values, as a JSON reader makes them, of any depth and size.
        param: the request's field that it came in.
        patterns_max: how many patterns are left to it, of those that a request may have.

    Raises:
        SchemaError: it is not of the subset, too large, or nothing can fit it. Code
            `invalid_schema`; its `param` tells the place.
    """
    try:
        check_value(value, values_max=SCHEMA_VALUES_MAX)
    except JsonError as error:
        raise refused(param, str(error)) from None
    reading = Reading(value, param, patterns_max)
    flaw = whole_flaw(reading.defs)
    if flaw:
        raise refused(param, flaw)
    schema = Schema(reading.defs, reading.patterns)
    if len(schema.text) > SCHEMA_BYTES_MAX:
        raise refused(param, f"it is longer than {SCHEMA_BYTES_MAX} bytes")
    return schema
