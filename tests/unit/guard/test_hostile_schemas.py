"""Schemas that were written to do harm: each is refused by a code, or stays within the bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from corral.guard.json_schema import SCHEMA_BYTES_MAX, Schema, SchemaError, parse_schema
from tests.support.hostile_schemas import BOMBS, HostileSchemas

DRAWN = 1200
TAKEN = {
    "max items", "nested max items", "long texts", "deep objects", "deep choices", "alike texts",
    "many optional members", "long enum", "like enum", "alike lists", "alike objects", "tree",
    "tree of alike", "chain", "backtracking", "states", "own words", "signs", "star of nothing",
    "options of the engine", "word of its grammar",
}  # fmt: skip


def taken(schema: Any) -> Schema | None:
    try:
        return parse_schema(schema, "schema")
    except SchemaError as error:
        assert error.code == "invalid_schema"
        assert error.param.startswith("schema")
        assert len(error.message) < 200
        return None


@pytest.mark.claim("SCHEMA-01")
def test_each_bomb_is_refused_or_within_the_bounds() -> None:
    assert {name for name, bomb in BOMBS.items() if taken(bomb) is not None} == TAKEN


@pytest.mark.claim("SCHEMA-01")
def test_drawn_schemas_are_refused_or_within_the_bounds() -> None:
    found = [taken(one) for one in HostileSchemas(7).draw(DRAWN)]
    texts = [schema.text for schema in found if schema is not None]
    assert DRAWN / 5 < len(texts) < DRAWN * 4 / 5, "the generator draws both kinds"
    assert max(map(len, texts)) <= SCHEMA_BYTES_MAX
    assert all(json.loads(text)["x-guidance"] == {"whitespace_flexible": False} for text in texts)


def test_every_taken_schema_checks_every_value_and_ends() -> None:
    values: list[Any] = [None, True, 1, 0.5, "a" * 5000, [[]] * 500, {"m0": {}, "m1": []}]
    for one in HostileSchemas(8).draw(300):
        schema = taken(one)
        if schema is not None:
            for value in values:
                schema.check(value)
                schema.check([value, {"m0": value}])
