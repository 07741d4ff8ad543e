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
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from corral.gateway.routes.shares import Acceptance, Offer
from corral.gateway.schemas.chat import ChatRequest
from corral.gateway.schemas.completion import CompletionRequest

_REF: Final = "#/components/schemas/{name}"
_NAME: Final = re.compile(r"{([a-z_]+)}")
_PROBLEMS: Final = {
    "400": "The request is wrong, and will be wrong again.",
    "401": "No valid credential.",
    "403": "The credential may not do that.",
    "404": "There is no such thing, or it is somebody else's.",
    "429": "Too many for now; Retry-After says how long.",
    "503": "Not now.",
}


class Problem(msgspec.Struct):
    """What is in an error, see `gateway.errors`."""

    message: str
    type: str
    param: str | None
    code: str


class Error(msgspec.Struct):
    """Body of a refusal."""

    error: Problem


@dataclass(frozen=True, slots=True)
class Operation:
    """What is not in the route table.

    Attributes:
        summary: one sentence.
        body: type of the request's body; None if it takes none.
        status: of a success.
        media: type of a success's body.
    """

    summary: str
    body: type | None = None
    status: int = 200
    media: str = "application/json"


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


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/v1/chat/completions"):
        Operation("Answer a chat, whole or as a stream of events.", ChatRequest),
    ("GET", "/v1/chat/completions"): Operation("List the tenant's stored chats."),
    ("GET", "/v1/chat/completions/{completion}"): Operation("Show a stored chat's answer."),
    ("DELETE", "/v1/chat/completions/{completion}"): Operation("Delete a stored chat."),
    ("GET", "/v1/chat/completions/{completion}/messages"):
        Operation("List the messages of a stored chat."),
    ("POST", "/v1/completions"):
        Operation("Continue a text, whole or as a stream of events.", CompletionRequest),
    ("GET", "/v1/models"): Operation("List the admitted models that the credential may use."),
    ("GET", "/v1/models/{model}"): Operation("Show one of them."),
    ("GET", "/admin/v1/shares"):
        Operation("List the tenant's open shares, offered by it and to it."),
    ("POST", "/admin/v1/shares"): Operation("Offer a model to another tenant.", Offer, 201),
    ("POST", "/admin/v1/shares/{share}/accept"):
        Operation("Accept an offer of the artifact that was looked at.", Acceptance),
    ("DELETE", "/admin/v1/shares/{share}"): Operation("Take back, decline or leave a share."),
    ("GET", "/admin/v1/host"): Operation("Show what the host enforces, as of the start."),
    ("GET", "/admin/v1/queue"): Operation("Show who runs and who waits, among all tenants."),
    ("GET", "/admin/v1/workers"): Operation("Show every engine worker."),
    ("GET", "/admin/v1/openapi.json"): Operation("This document."),
    ("GET", "/admin/v1/docs"):
        Operation("This document as a page to read.", media="text/html; charset=utf-8"),
    ("GET", "/metrics"): Operation("The server's counts, for Prometheus.", media="text/plain"),
    ("GET", "/healthz"): Operation("Say that the process answers."),
    ("GET", "/readyz"): Operation("Say whether requests are taken."),
}  # fmt: skip
"""Every address; tests/style/test_openapi.py compares it with the route table."""


def describe(addresses: Iterable[Described]) -> dict[str, Any]:
    """Return the OpenAPI document.

    Args:
        addresses: the route table.

    Raises:
        KeyError: an address is not in `OPERATIONS`.
    """
    bodies = [one.body for one in OPERATIONS.values() if one.body is not None]
    schemas, components = msgspec.json.schema_components([*bodies, Error], ref_template=_REF)
    body_of = dict(zip(bodies, schemas, strict=False))
    paths: dict[str, dict[str, Any]] = {}
    for address in addresses:
        entry = OPERATIONS[address.method, address.path]
        paths.setdefault(address.path, {})[address.method.lower()] = _operation(
            address, entry, body_of
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
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
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
        " <code>Authorization: Bearer KEY</code>, but those that need no permission.</p>"
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
    address: Described, entry: Operation, body_of: Mapping[type, dict[str, Any]]
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": entry.summary,
        "operationId": re.sub(r"\W+", "_", f"{address.method.lower()}{address.path}").strip("_"),
        "responses": {
            str(entry.status): {
                "description": "Done.",
                "content": {entry.media: {}},
            },
        },
        "security": [],
    }
    names = _NAME.findall(address.path)
    if names:
        found["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
    if entry.body is not None:
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body_of[entry.body]}},
        }
    if address.needs is not None:
        found["security"] = [{"bearer": []}]
        found["x-permission"] = str(address.needs)
        found["responses"] |= {
            status: {
                "description": text,
                "content": {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}},
            }
            for status, text in _PROBLEMS.items()
        }
    return found


def _body_link(operation: Mapping[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    name = html.escape(reference.rpartition("/")[2])
    return f'<a href="#{name}">{name}</a>'


def _pretty(schema: object) -> str:
    return msgspec.json.format(msgspec.json.encode(schema)).decode()
