"""What form an answer is to have: any text, any JSON object, or JSON of a schema.

Trust: gateway [net]. Input: hostile JSON; `guard.json_schema` bounds a schema before anything is
made of it. Spec: OpenAI API reference, chat, `response_format`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from corral.gateway.errors import ApiError, bad_request
from corral.guard.json_schema import Schema, SchemaError, parse_schema

PARAM: Final = "response_format"
_OBJECT: Final = parse_schema({"type": "object"}, PARAM)


class TextFormat(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="text"
):
    """Any text."""


class ObjectFormat(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="json_object"
):
    """Any JSON object."""


class NamedSchema(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A schema.

    Attributes:
        strict: taken and without effect: an answer is always held to its schema.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}\Z")]
    schema: dict[str, Any]
    description: Annotated[str, msgspec.Meta(max_length=8192)] | None = None
    strict: bool | None = None


class SchemaFormat(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="json_schema"
):
    """JSON of a schema."""

    json_schema: NamedSchema


ResponseFormat = TextFormat | ObjectFormat | SchemaFormat


def answer_schema(wanted: ResponseFormat | None) -> Schema | ApiError | None:
    """Return what an answer is held to, or why that is refused; None for any text."""
    if isinstance(wanted, ObjectFormat):
        return _OBJECT
    if not isinstance(wanted, SchemaFormat):
        return None
    try:
        return parse_schema(wanted.json_schema.schema, f"{PARAM}.json_schema.schema")
    except SchemaError as error:
        return bad_request(error.code, error.message, error.param)
