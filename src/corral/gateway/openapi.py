"""What each address is, as an OpenAPI document and as a page to read.

Trust: gateway [net]. Input: the server's own tables only, at its start; nothing of a request, a
tenant or the host is in either. Bodies come from the very types that requests are decoded into
(msgspec writes their JSON Schema), permissions from the route table, so that neither can differ
from what the server does. Spec: OpenAPI 3.1.0.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import msgspec

from corral.gateway.operations import OPERATIONS, Operation

_REF: Final = "#/components/schemas/{name}"
_NAME: Final = re.compile(r"{([a-z_]+)}")
_PROBLEMS: Final = {
    "400": "The request is wrong, and will be wrong again.",
    "401": "No valid credential.",
    "403": "The credential may not do that.",
    "404": "There is no such thing, or it is somebody else's.",
    "429": "Too many for now; Retry-After says how long.",
    "500": "Something went wrong here.",
    "503": "Not now.",
}
_CHANGE_PROBLEMS: Final = {
    "409": "It does not go together with what is there.",
    "413": "The body is over its limit.",
}
_ANSWER_PROBLEMS: Final = {
    "502": "The engine worker failed, or the client did not read.",
    "504": "It took longer than it may.",
}
_GENERATES: Final = frozenset({"/v1/chat/completions", "/v1/completions"})


class Problem(msgspec.Struct):
    """What is in an error, see `gateway.errors`."""

    message: str
    type: str
    param: str | None
    code: str


class Error(msgspec.Struct):
    """Body of a refusal."""

    error: Problem


class Described(Protocol):
    """What is needed of an entry of the route table; `permission` None: anybody may."""

    @property
    def method(self) -> str:
        """HTTP method."""

    @property
    def path(self) -> str:
        """Path, with names of its variables in braces."""

    @property
    def needs(self) -> str | None:
        """Permission that a credential must have; None for none."""


def describe(addresses: Iterable[Described]) -> dict[str, Any]:
    """Return the OpenAPI document.

    Args:
        addresses: the route table.

    Raises:
        KeyError: an address is not in `OPERATIONS`.
    """
    types = [
        kind for one in OPERATIONS.values() for kind in (one.body, one.reply, one.query) if kind
    ]
    schemas, components = msgspec.json.schema_components([*types, Error], ref_template=_REF)
    schema_of = dict(zip(types, schemas, strict=False))
    queries = {
        kind: components.pop(kind.__name__) for kind in {one.query for one in OPERATIONS.values()}
        if kind is not None
    }  # fmt: skip
    paths: dict[str, dict[str, Any]] = {}
    for address in addresses:
        entry = OPERATIONS[address.method, address.path]
        paths.setdefault(address.path, {})[address.method.lower()] = _operation(
            address, entry, schema_of, queries
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "corral",
            "version": "1",
            "description": "A field that is not named here is refused by its name.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "certificate": {"type": "mutualTLS"},
            },
            "schemas": components,
        },
    }


def page(document: Mapping[str, Any]) -> bytes:
    """Return the document as one HTML page, which loads nothing and runs nothing."""
    rows = "".join(
        f"<tr><td><code>{html.escape(method.upper())} {html.escape(path)}</code>"
        f"<td>{html.escape(one['summary'])}"
        f"<td><code>{html.escape(one.get('x-permission', 'none'))}</code>"
        f"<td>{_body_link(one)}"
        for path, methods in document["paths"].items()
        for method, one in methods.items()
    )
    schemas = "".join(
        f'<h3 id="{html.escape(name)}">{html.escape(name)}</h3><pre>'
        f"{html.escape(_pretty(schema))}</pre>"
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>corral: HTTP API</title>'
        f"<style>{_STYLE}</style><h1>HTTP API</h1>"
        '<p>For programs: <a href="openapi.json">openapi.json</a>. Each address takes'
        " <code>Authorization: Bearer KEY</code> or a client certificate, but those that need no"
        " permission.</p>"
        f"<table><tr><th>Address<th>What it does<th>Permission<th>Body{rows}</table>"
        f"<h2>Schemas</h2>{schemas}</html>"
    ).encode()


_STYLE: Final = (
    "body{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "td,th{text-align:left;vertical-align:top;padding:.3em 1em .3em 0}"
    "pre{overflow:auto;background:#f4f4f4;padding:1em}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_HEADERS: Final = (
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'".encode(),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""The page may use its own style and nothing else."""


def _operation(
    address: Described,
    entry: Operation,
    schema_of: Mapping[type, dict[str, Any]],
    queries: Mapping[type, dict[str, Any]],
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": entry.summary,
        "operationId": re.sub(r"\W+", "_", f"{address.method.lower()}{address.path}").strip("_"),
        "responses": {
            str(entry.status): {
                "description": "Done.",
                "content": {entry.media: {"schema": schema_of[entry.reply]} if entry.reply else {}},
            },
        },
        "security": [],
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _NAME.findall(address.path)
    ]
    if entry.query is not None:
        parameters += [
            {"name": name, "in": "query", "schema": schema}
            for name, schema in queries[entry.query]["properties"].items()
        ]
    if parameters:
        found["parameters"] = parameters
    if entry.body is not None:
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[entry.body]}},
        }
    if address.needs is not None:
        found["security"] = [{"bearer": []}, {"certificate": []}]
        found["x-permission"] = str(address.needs)
        found["responses"] |= {
            status: {
                "description": text,
                "content": {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}},
            }
            for status, text in _problems(address).items()
        }
    return found


def _problems(address: Described) -> dict[str, str]:
    found = dict(_PROBLEMS)
    if address.method != "GET":
        found |= _CHANGE_PROBLEMS
        if address.path in _GENERATES:
            found |= _ANSWER_PROBLEMS
    return found


def _body_link(operation: Mapping[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    name = html.escape(reference.rpartition("/")[2])
    return f'<a href="#{name}">{name}</a>'


def _pretty(schema: object) -> str:
    return msgspec.json.format(msgspec.json.encode(schema)).decode()
