"""The query of an address: bounded, strict, each field once and by its name.

Trust: gateway [net]. Input: hostile requests.
"""

from __future__ import annotations

from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Scope

_FIELDS: Final = 24
_Query = TypeVar("_Query", bound=msgspec.Struct)


def query_fields(scope: Scope) -> list[tuple[str, str]]:
    """Return names and values as they came.

    Raises:
        ValueError: the query is no list of them, or has too many.
    """
    if not scope["query_string"]:
        return []
    return parse_qsl(
        scope["query_string"].decode("ascii"), keep_blank_values=True, strict_parsing=True,
        errors="strict", max_num_fields=_FIELDS,
    )  # fmt: skip


def parse_query(scope: Scope, kind: type[_Query]) -> _Query:
    """Return the query as its type.

    Raises:
        ValueError: it is not that; `msgspec.ValidationError` is one.
    """
    pairs = query_fields(scope)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field came twice")
    return msgspec.convert(fields, kind, strict=False)
