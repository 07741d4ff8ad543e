"""The schema of an answer that must be calls: that of its tools, with all they refer to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from corral.guard.json_schema import SchemaError, parse_schema
from corral.guard.tool_schema import calls_schema
from corral.guard.tool_use import CALLS_MAX, Tool, ToolUse

TREE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "root": {"$ref": "#/$defs/node"},
        "other": {"$ref": "#/definitions/a~1b"},
        "$ref": {"type": "string", "enum": ["#/$defs/node"]},
    },
    "required": ["root"],
    "additionalProperties": False,
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["next"],
            "additionalProperties": False,
        }
    },
    "definitions": {"a/b": {"type": "integer"}},
}
CITY: dict[str, Any] = {
    "type": "object", "properties": {"city": {"$ref": "#/$defs/node"}}, "required": ["city"],
    "additionalProperties": False, "$defs": {"node": {"type": "string"}},
}  # fmt: skip


def use(*schemas: tuple[str, dict[str, Any]], **options: Any) -> ToolUse:
    tools = tuple(
        Tool(name=name, place=n, declared="", schema=parse_schema(one, "x"), parameters=one)
        for n, (name, one) in enumerate(schemas)
    )
    return ToolUse(tools=tools, choice="required", **options)


TWO = (("tree", TREE), ("city", CITY))


def fits(made: ToolUse, value: object) -> bool:
    return calls_schema(made).check(value) is None


def call(name: str, **arguments: object) -> dict[str, object]:
    return {"name": name, "arguments": arguments}


def test_a_list_of_calls_is_what_the_tools_take() -> None:
    both = use(*TWO)
    tree = call("tree", root={"next": {"next": None}}, other=3)
    assert fits(both, [tree, call("city", city="Rome")])
    assert fits(both, [call("tree", **{"root": {"next": None}, "$ref": "#/$defs/node"})])
    for wrong in (
        [], tree, [call("tree", city="Rome")], [call("city", city={"next": None})],
        [call("tree", root="Rome")], [call("tree", root={"next": None}, other="x")],
        [call("none")], [{"name": "city"}], [tree | {"more": 1}], [tree] * (CALLS_MAX + 1),
    ):  # fmt: skip
        assert not fits(both, wrong), wrong


def test_one_call_where_only_one_may_be() -> None:
    for one in (use(*TWO, parallel=False), use(*TWO, named="city")):
        assert fits(one, call("city", city="Rome"))
        assert not fits(one, [call("city", city="Rome")])
    assert not fits(use(*TWO, named="tree"), call("city", city="Rome"))


def test_a_schema_may_be_of_itself_and_tools_may_be_many() -> None:
    chain: dict[str, Any] = {
        "type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False,
    }  # fmt: skip
    assert fits(use(("chain", chain)), [call("chain", next={"next": {}})])
    assert not fits(use(("chain", chain)), [call("chain", next=1)])
    many = use(*((f"t{n}", {"type": "object"}) for n in range(100)))
    assert fits(many, [call("t99", a=1)])
    assert not fits(many, [call("t100", a=1)])


def test_what_is_too_large_together_is_refused() -> None:
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(100)}}
    with pytest.raises(SchemaError) as refused:
        calls_schema(use(*((f"t{n}", wide) for n in range(60))))
    assert refused.value.code == "invalid_schema"


def test_the_engine_is_told_the_same() -> None:
    told = calls_schema(use(*TWO)).text
    assert '"enum":["tree"]' in told
    assert json.loads(told)["$defs"]["root"]["maxItems"] == CALLS_MAX
