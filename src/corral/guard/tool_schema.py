"""The schema of an answer that must be calls: what the engine is held to.

Trust: gateway [net]; pure. Input: schemas that `guard.json_schema` has taken, as they were sent.
Each is a definition of the whole; its own definitions and what refers to them get names of their
own. References are texts under `$ref` in a schema, and the subset takes no objects where they could
be mere data (enum, const), so that each can be told from a member of this name, which is a schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from corral.guard.json_schema import Schema, parse_schema
from corral.guard.tool_use import CALLS_MAX, ToolUse

_DEFINITIONS: Final = ("$defs", "definitions")
_TOGETHER: Final = 32
"""Alternatives that one list may have."""


def calls_schema(use: ToolUse) -> Schema:
    """Return the schema of a call, or of a list of them, of the tools that are offered.

    Raises:
        SchemaError: it is larger than a schema may be.
    """
    defs: dict[str, object] = {}
    calls: list[dict[str, object]] = []
    for number, tool in enumerate(use.offered):
        name = f"t{number}"
        arguments: Mapping[str, object] = tool.parameters or {"type": "object", "properties": {}}
        for word in _DEFINITIONS:
            inner = arguments.get(word)
            if isinstance(inner, dict):
                defs.update((f"{name}.{word}.{one}", _moved(inner[one], name)) for one in inner)
        whole = {word: one for word, one in arguments.items() if word not in _DEFINITIONS}
        defs[name] = _moved(whole, name)
        calls.append({
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": {"$ref": f"#/$defs/{name}"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        })  # fmt: skip
    call = _any_of(calls)
    if use.calls_max > 1:
        call = {"type": "array", "items": call, "minItems": 1, "maxItems": CALLS_MAX}
    return parse_schema({**call, "$defs": defs}, "tools")


def _any_of(schemas: Sequence[dict[str, object]]) -> dict[str, object]:
    while len(schemas) > 1:
        schemas = [
            {"anyOf": list(schemas[at : at + _TOGETHER])}
            for at in range(0, len(schemas), _TOGETHER)
        ]
    return schemas[0]


def _moved(value: object, name: str) -> object:
    """Return a part of a schema whose references lead to where its definitions are now."""
    if isinstance(value, list):
        return [_moved(one, name) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        word: _reference(one, name)
        if word == "$ref" and isinstance(one, str)
        else _moved(one, name)
        for word, one in value.items()
    }


def _reference(reference: str, name: str) -> str:
    for word in _DEFINITIONS:
        before = f"#/{word}/"
        if reference.startswith(before):
            return f"#/$defs/{name}.{word}.{reference.removeprefix(before)}"
    return f"#/$defs/{name}"
