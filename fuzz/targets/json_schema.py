"""JSON Schemas of callers: each is refused by its code or taken; a check of any value ends.

The first line is a schema, the second an answer.
"""

from __future__ import annotations

import json

from corral.guard.json_schema import SCHEMA_BYTES_MAX, SchemaError, parse_schema
from corral.guard.json_text import JsonError, read_json
from fuzz.target import Target


def check(data: bytes) -> None:
    """Read the schema, and the answer by it."""
    first, _, second = data.decode("utf-8", "replace").partition("\n")
    try:
        schema = parse_schema(read_json(first), "schema")
    except (SchemaError, JsonError):
        return
    if len(schema.text) > SCHEMA_BYTES_MAX:
        raise AssertionError("the engine is told more than it may be")
    json.loads(schema.text)
    if schema.check_text(second) is None:
        read_json(second)


_SEEDS = (
    """{"type":"object","properties":{"a":{"type":"string","pattern":"^a+$"},
    "b":{"enum":[1,null]}},"required":["a"]} | {"a":"aa","b":1}""",
    """{"$defs":{"T":{"anyOf":[{"type":"array","items":{"$ref":"#/$defs/T"},"maxItems":9},
    {"type":["integer","null"],"minimum":0}]}},"$ref":"#/$defs/T"} | [[1],null]""",
    """{"type":"array","prefixItems":[{"const":"x"},{"type":"number","exclusiveMinimum":0.5}]}
    | ["x",0.75]""",
    """{"oneOf":[{"type":"string","format":"date"},
    {"type":"object","additionalProperties":true}]} | "2026-11-29"
    """,
)
TARGET = Target(
    "json_schema",
    check,
    tuple(one.replace("\n", "").strip().replace(" | ", "\n").encode() for one in _SEEDS),
)
