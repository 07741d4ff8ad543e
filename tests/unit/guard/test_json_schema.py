"""The subset of JSON Schema: what is taken, what is refused and where, what an answer must be."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Literal

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from corral.guard.json_schema import SchemaError, parse_schema
from corral.guard.schema_reading import DEFS_MAX, DEPTH_MAX, LITERALS_MAX, NODES_MAX

TEXT: dict[str, Any] = {"type": "string"}
NAMED = {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}


def closed(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members)}


def fits(schema: Any, value: Any) -> bool:
    return parse_schema(schema, "schema").check(value) is None


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "äöü"], ["a", "abcd", 2, None]),
        ({"type": "string", "pattern": "^a+$"}, ["aa"], ["ab", ""]),
        ({"type": "string", "format": "date"}, ["2026-11-29"], ["2026-13-01", "29.11.2026"]),
        ({"type": "string", "format": "date-time"}, ["2026-11-29T10:00:00Z"], ["2026-11-29"]),
        ({"type": "string", "format": "ipv4"}, ["192.0.2.1"], ["192.0.2.256"]),
        ({"type": "string", "format": "ipv6"}, ["2001:db8::1"], ["2001:db8::1%eth0", "x"]),
        ({"type": "string", "format": "uri"}, ["no address at all"], [1]),
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 3}, [1, 2], [0, 3, 1.5, True, "1"]),
        ({"type": "integer", "exclusiveMinimum": 0.5, "maximum": 2.5}, [1, 2], [0, 3]),
        ({"type": "integer", "minimum": -0.5, "exclusiveMaximum": 2}, [0, 1], [-1, 2]),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, [0.5, 1], [0, 1.1, False, None]),
        ({"type": "boolean"}, [True, False], [0, 1, None]),
        ({"type": "null"}, [None], [0, "", False]),
        ({"type": ["string", "null"]}, ["a", None], [1]),
        ({"enum": ["a", 1, None, True]}, ["a", 1, 1.0, None, True], ["b", False, 0, [], {}]),
        ({"const": 1}, [1], [True, "1"]),
        ({"type": "string", "enum": ["a", 1]}, ["a"], [1]),
        ({"type": "array", "items": TEXT, "minItems": 1, "maxItems": 2}, [["a"]], [[], ["a"] * 3]),
        ({"type": "array", "items": {}, "uniqueItems": True}, [[1, "1", True]], [[1, 1.0]]),
        ({"type": "array", "prefixItems": [TEXT, {"type": "null"}]}, [["a", None]], [["a"], []]),
        (NAMED, [{"a": "b"}], [{}, {"a": 1}, {"a": "b", "c": 1}, []]),
        ({"type": "object", "properties": {}}, [{}], [{"a": 1}]),
        ({"type": "object"}, [{}, {"a": [1, {}]}], [[], None]),
        ({"type": "object", "additionalProperties": TEXT}, [{"a": "b"}], [{"a": 1}]),
        ({"type": "object", "required": ["a"]}, [{"a": 1}], [{}]),
        ({**NAMED, "additionalProperties": True}, [{"a": "b", "c": 1}], [{"c": 1}]),
        ({"anyOf": [TEXT, {"type": "null"}]}, ["a", None], [1]),
        ({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 5}]}, [1, 5.5], [6, 1.5]),
        ({"allOf": [TEXT], "description": "one"}, ["a"], [1]),
        ({}, [1, "a", [{}]], []),
        (True, [1, "a", [{}]], []),
    ],
)
def test_what_fits_and_what_does_not(schema: Any, good: list[Any], bad: list[Any]) -> None:
    read = parse_schema(schema, "schema")
    assert [one for one in good if read.check(one) is not None] == []
    assert [one for one in bad if read.check(one) is None] == []


def test_a_flaw_names_the_first_place_by_names_of_the_schema() -> None:
    schema = parse_schema(closed(list={"type": "array", "items": NAMED}), "schema")
    flaw = schema.check({"list": [{"a": "x"}, {"a": 1}]})
    assert flaw is not None
    assert (flaw.place, flaw.reason) == ("$.list[1].a", "type")
    unknown = schema.check({"list": [], "a word of the model": 1})
    assert unknown is not None
    assert (unknown.place, unknown.reason) == ("$", "unknown_member")


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"b"', '{"a":"b"} x', '{"a":"b","a":"c"}', '{"a":"\\ud800"}', '{"a":NaN}', "",
        '{"a":' + "[" * 100_000, "[" * 65 + "]" * 65, "1e999", "1" * 5000, "Infinity",
        '"' + "x" * 300_000 + '"',
    ],
)  # fmt: skip
def test_a_text_that_could_be_read_in_two_ways_is_no_json(text: str) -> None:
    assert parse_schema({}, "schema").check_text(text) is not None


@pytest.mark.parametrize(
    ("schema", "param"),
    [
        (5, "schema"),
        ({"type": "strin"}, "schema.type"),
        ({"type": []}, "schema.type"),
        ({"type": ["string", 1]}, "schema.type"),
        (closed(a=TEXT, b={"type": 1}), "schema.properties[1].type"),
        ({"type": "array", "items": {"not": {}}}, "schema.items.not"),
        ({"type": "string", "a word of the caller": 1}, "schema"),
        ({"type": "string", "minItems": 1}, "schema.minItems"),
        ({"minLength": 1}, "schema.minLength"),
        ({"type": "string", "minLength": -1}, "schema.minLength"),
        ({"type": "string", "minLength": True}, "schema.minLength"),
        ({"type": "string", "minLength": 10**9}, "schema.minLength"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "schema.maxLength"),
        ({"type": "string", "format": 1}, "schema.format"),
        ({"type": "string", "pattern": "(?=a)"}, "schema.pattern"),
        ({"type": "string", "pattern": "((a{1,999}){1,999}){1,999}"}, "schema.pattern"),
        ({"type": "string", "pattern": "a" * 1000}, "schema.pattern"),
        ({"type": "string", "pattern": r"\pL|" * 9}, "schema.pattern"),
        ({"type": "string", "pattern": "(?i)[a-zα-ω]{200}"}, "schema.pattern"),
        ({"type": "array", "minItems": 2_000_000_000}, "schema.minItems"),
        ({"type": "array", "uniqueItems": 1}, "schema.uniqueItems"),
        ({"type": "array", "prefixItems": []}, "schema.prefixItems"),
        ({"type": "array", "prefixItems": [TEXT], "items": TEXT}, "schema.prefixItems"),
        ({"type": "array", "prefixItems": [TEXT], "minItems": 2}, "schema.prefixItems"),
        ({"type": "number", "minimum": 1e300}, "schema.minimum"),
        ({"type": "number", "minimum": 1e-300}, "schema.minimum"),
        ({"type": "number", "minimum": "1"}, "schema.minimum"),
        ({"type": "number", "minimum": 2, "maximum": 1}, "schema"),
        ({"type": "number", "exclusiveMinimum": 2, "maximum": 2}, "schema"),
        ({"type": "integer", "minimum": 0.1, "exclusiveMaximum": 1}, "schema"),
        ({"type": "integer", "maximum": 10**400}, "schema.maximum"),
        (closed(**{f"p{n}": {"type": "string", "pattern": "a"} for n in range(33)}),
         "schema.properties[32].pattern"),
        ({"enum": []}, "schema.enum"),
        ({"enum": [[1]]}, "schema.enum"),
        ({"enum": list(range(LITERALS_MAX + 1))}, "schema.enum"),
        ({"type": "string", "enum": [1]}, "schema.enum"),
        ({"enum": ["a"], "minLength": 1}, "schema.minLength"),
        ({"anyOf": []}, "schema.anyOf"),
        ({"anyOf": [TEXT] * 33}, "schema.anyOf"),
        ({"anyOf": [TEXT], "type": "string"}, "schema.type"),
        ({"allOf": [TEXT, TEXT]}, "schema.allOf"),
        ({"$ref": "https://example.org/schema"}, "schema.$ref"),
        ({"$ref": "#/properties/a"}, "schema.$ref"),
        ({"$ref": 1}, "schema.$ref"),
        ({"$defs": 1}, "schema.$defs"),
        ({"$defs": {f"d{n}": TEXT for n in range(DEFS_MAX + 1)}}, "schema.$defs"),
        ({"$defs": {"a": {"$defs": {}}}}, "schema.$defs[0].$defs"),
        ({"type": "object", "properties": []}, "schema.properties"),
        ({"type": "object", "properties": {"x" * 300: TEXT}}, "schema.properties[0]"),
        ({"type": "object", "properties": {}, "required": ["a"]}, "schema.required"),
        ({"type": "object", "required": "a"}, "schema.required"),
        ({"type": "object", "required": [1]}, "schema.required"),
        # as a whole
        ({"$ref": "#"}, "schema"),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, TEXT]}}, "$ref": "#/$defs/a"}, "schema"),
        (closed(a={"$ref": "#"}), "schema"),
        ({"type": "array", "items": {"type": "string", "minLength": 4096}, "minItems": 99},
         "schema"),
        (closed(**{f"m{n}": {"type": "string", "maxLength": 4096} for n in range(9)}), "schema"),
        ({"enum": ["x" * 70_000]}, "schema"),
        ({"description": ["x"] * 10_000}, "schema"),
        ({"default": "\ud800"}, "schema"),
        ({"default": float("nan")}, "schema"),
    ],
)  # fmt: skip
def test_what_is_not_taken_is_refused_by_its_place(schema: Any, param: str) -> None:
    with pytest.raises(SchemaError) as refused:
        parse_schema(schema, "schema")
    assert (refused.value.code, refused.value.param) == ("invalid_schema", param)
    assert "a word of the caller" not in refused.value.message


def nested(depth: int, schema: Any) -> Any:
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def test_bounds_of_depth_and_number_are_exact() -> None:
    parse_schema(nested(DEPTH_MAX, TEXT), "schema")
    with pytest.raises(SchemaError):
        parse_schema(nested(DEPTH_MAX + 1, TEXT), "schema")
    rows = {f"r{n}": {"type": "array", "items": TEXT} for n in range(200)}
    more = {f"t{n}": closed(**rows) for n in range(2)}
    parse_schema(closed(**more), "schema")
    with pytest.raises(SchemaError):
        parse_schema(closed(**{f"t{n}": closed(**rows) for n in range(NODES_MAX // 400 + 1)}), "s")


def test_a_long_chain_of_definitions_is_refused() -> None:
    chain = {f"d{n}": closed(a={"$ref": f"#/$defs/d{n + 1}"}) for n in range(100)}
    with pytest.raises(SchemaError):
        parse_schema({"$defs": {**chain, "d100": TEXT}, "$ref": "#/$defs/d0"}, "schema")


def test_a_recursive_schema_is_taken() -> None:
    tree = closed(children={"type": "array", "items": {"$ref": "#"}})
    assert fits(tree, {"children": [{"children": []}]})
    assert not fits(tree, {"children": [{}]})


def test_a_check_ends_where_schema_and_value_were_written_to_make_it_long() -> None:
    both = [closed(a={"$ref": "#"}, **{name: TEXT}) for name in ("x", "y")]
    schema = parse_schema({"anyOf": [*both, {"type": "null"}]}, "schema")
    value: Any = None
    for _ in range(50):
        value = {"a": value, "y": "z"}
    assert schema.check(value) is None
    many = parse_schema({"type": "array", "items": {"anyOf": [NAMED] * 32}}, "schema")
    flaw = many.check([{} for _ in range(50)] + [{"a": "b"} for _ in range(100_000)])
    assert flaw is not None
    flaw = many.check([{"a": "b"} for _ in range(100_000)])
    assert flaw is not None
    assert flaw.reason == "effort"


def test_a_pattern_that_takes_long_ends_the_check() -> None:
    schema = parse_schema({"type": "string", "pattern": "(a|b)*a(a|b){500}"}, "schema")
    assert schema.check("ab" * 300) is None
    flaw = schema.check("ab" * 100_000)
    assert flaw is not None
    assert flaw.reason == "effort"


def test_the_engine_is_told_nothing_but_our_own_writing() -> None:
    schema = {
        **closed(a={"type": "string", "pattern": "^a$", "title": "secret", "x-own": [1]}),
        "$id": "https://example.org/", "description": "secret",
        "$defs": {"of/the~caller": {"const": 1, "default": "secret"}},
    }  # fmt: skip
    text = parse_schema(schema, "schema").text
    assert "secret" not in text
    assert "caller" not in text
    assert "pattern" not in text
    assert json.loads(text)["$defs"]["root"]["additionalProperties"] is False


class _Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class _Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, pydantic.Field(ge=0, le=9)]


class _Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    name: str | None = None


class _Home(pydantic.BaseModel):
    colour: _Colour
    pet: _Cat | _Dog = pydantic.Field(discriminator="kind")
    at: tuple[int, float]
    sizes: dict[str, int]
    rest: Any
    next: _Home | None = None


def test_schemas_of_pydantic_are_taken() -> None:
    schema = parse_schema(_Home.model_json_schema(), "schema")
    home = _Home(
        colour=_Colour.RED, pet=_Cat(kind="cat", lives=9), at=(1, 2.5), sizes={"a": 1}, rest=[{}]
    )
    assert schema.check_text(home.model_dump_json()) is None
    assert schema.check({**home.model_dump(mode="json"), "colour": "green"}) is not None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
SCALARS = st.sampled_from([
    TEXT, {"type": "string", "minLength": 1}, {"type": "integer"}, {"type": "null"}, {}, True,
    {"type": "number", "minimum": 0, "exclusiveMaximum": 5}, {"type": "boolean"},
    {"enum": [0, "a", None]}, {"const": True}, {"type": ["integer", "null"]},
])  # fmt: skip


def _larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    return (
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=3)})
        | st.builds(lambda i, n: {"type": "array", "items": i, "maxItems": n}, inner,
                    st.integers(0, 3))
        | st.builds(lambda p: {"type": "array", "prefixItems": p, "items": False},
                    st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda m, n, o: {"type": "object", "properties": m, "required": list(m)[:n],
                                     "additionalProperties": o},
                    members, st.integers(0, 3), st.booleans() | inner)
    )  # fmt: skip


@given(st.recursive(SCALARS, _larger, max_leaves=8), VALUES)
def test_what_fits_here_is_valid_to_the_reference(schema: Any, value: Any) -> None:
    if fits(schema, value):
        assert Draft202012Validator(schema).is_valid(value)


@given(st.recursive(SCALARS, _larger, max_leaves=8), VALUES)
def test_what_the_engine_is_told_allows_what_fits(schema: Any, value: Any) -> None:
    read = parse_schema(schema, "schema")
    if read.check(value) is None:
        assert Draft202012Validator(json.loads(read.text)).is_valid(value)


@given(VALUES | st.recursive(SCALARS, _larger, max_leaves=20) | st.dictionaries(
    st.sampled_from(["type", "items", "enum", "anyOf", "$ref", "minimum", "required", "x"]), VALUES,
))  # fmt: skip
def test_any_value_is_taken_or_refused(schema: Any) -> None:
    try:
        parse_schema(schema, "schema")
    except SchemaError as error:
        assert error.param.startswith("schema")
