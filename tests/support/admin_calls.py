"""Calls of the admin API to a gateway of `tests.unit.gateway`, by people of several tenants."""

from __future__ import annotations

from typing import Any

import jsonschema

from corral.gateway.app import ADDRESSES
from corral.gateway.openapi import describe
from corral.state.connection import read_rows
from corral.tenancy.keys import create_key, list_keys
from corral.tenancy.tenants import add_tenant
from tests.unit.gateway.conftest import Served

ADMIN = "/admin/v1"
TABLES = ("tenants", "keys", "grants", "quotas", "shares", "tenant_keys")


def staffed(served: Served) -> Served:
    """Make tenants acme and bolt: acme with a tenant-admin, bolt with two keys; and an auditor."""
    pepper, database = served.home.pepper.read_bytes(), served.home.database
    add_tenant(database, "bolt")
    for name, tenant, role in (
        ("lead", "acme", "tenant-admin"), ("bolt", "bolt", "user"),
        ("chief", "bolt", "tenant-admin"), ("auditor", "admin", "auditor"),
    ):  # fmt: skip
        served.keys[name], _ = create_key(database, pepper, tenant=tenant, name=name, role=role)  # type: ignore[arg-type]
    return served


def call(served: Served, who: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    with served.http(headers=served.bearer(who)) as http:
        answer = http.request(method, ADMIN + path, json=body)
    return answer.status_code, answer.json()


def code_of(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


def models(served: Served, key: str) -> int:
    with served.http(headers={"authorization": f"Bearer {key}"}) as http:
        return int(http.get("/v1/models").status_code)


def key_id(served: Served, name: str) -> int:
    return next(one.id for one in list_keys(served.home.database) if one.name == name)


def state(served: Served) -> list[list[tuple[Any, ...]]]:
    columns = "id, prefix, hash, tenant, role, expires_at, revoked_at, scopes, old_hash"
    return [
        read_rows(served.home.database, f"SELECT {columns if one == 'keys' else '*'} FROM {one}")
        for one in TABLES
    ]


DOCUMENT = describe(ADDRESSES)


def conforms(method: str, path: str, answer: tuple[int, Any]) -> Any:
    """Return an answer's body; it is of the schema that the OpenAPI document has for it."""
    operation = DOCUMENT["paths"][ADMIN + path][method.lower()]
    (content,) = operation["responses"][str(answer[0])]["content"].values()
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    jsonschema.validate(answer[1], schema, format_checker=jsonschema.FormatChecker())
    return answer[1]
