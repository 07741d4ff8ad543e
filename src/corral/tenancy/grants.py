"""Grants: which tenant may use which model.

Trust: gateway [net] and operator side. No grant, no model. Input: names of an operator, checked.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.core.ids import TenantName, parse_model_name, parse_tenant_name
from corral.state.transaction import snapshot, transaction
from corral.tenancy.principal import EVERY_MODEL
from corral.tenancy.tenants import find_tenant

_ADD: Final = (
    "INSERT INTO grants (tenant, model, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
)
_LIST: Final = """
SELECT tenant, model, created_at FROM grants WHERE ?1 IS NULL OR tenant = ?1
ORDER BY tenant, model
"""
_REVOKE: Final = "DELETE FROM grants WHERE tenant = ? AND model = ?"


@dataclass(frozen=True, slots=True)
class Grant:
    """One tenant may use one model, or every one (`*`)."""

    tenant: TenantName
    model: str
    created_at: datetime


def grant_model(database: Path, tenant: str, model_or_star: str) -> None:
    """Let a tenant use a model (admitted or not yet) or, with `*`, every one; again is fine.

    Raises:
        CorralError: codes `bad_tenant_name`, `bad_model_name`, `no_such_tenant`,
            `database_unavailable`.
    """
    owner, model = parse_tenant_name(tenant), _parse_model(model_or_star)
    with transaction(database) as connection:
        find_tenant(connection, owner)
        insert_grant(connection, owner, model)


def insert_grant(connection: sqlite3.Connection, tenant: TenantName, model: str) -> None:
    """Do `grant_model` inside the caller's transaction; both names are checked already."""
    connection.execute(_ADD, (tenant, model, int(time.time())))


def list_grants(database: Path, *, tenant: str | None = None) -> tuple[Grant, ...]:
    """Return every grant, by tenant and model.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with snapshot(database) as connection:
        return tuple(
            Grant(
                tenant=TenantName(row["tenant"]),
                model=row["model"],
                created_at=datetime.fromtimestamp(row["created_at"], UTC),
            )
            for row in connection.execute(_LIST, (tenant,))
        )


def revoke_grant(database: Path, tenant: str, model_or_star: str) -> None:
    """Take a grant back; it ends at once for new requests.

    Raises:
        CorralError: codes `no_such_grant`, `database_unavailable`.
    """
    with transaction(database) as connection:
        if not connection.execute(_REVOKE, (tenant, model_or_star)).rowcount:
            raise CorralError(
                "no_such_grant", "there is no such grant", remedy="see them: corral grant list"
            )


def _parse_model(text: str) -> str:
    return text if text == EVERY_MODEL else parse_model_name(text)
