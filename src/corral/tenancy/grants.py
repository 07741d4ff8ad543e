"""Grants: which tenant may use which model.

Trust: operator side. No grant, no model. Input: the operator's names, checked.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.dialects.sqlite import insert

from corral.core.errors import CorralError
from corral.core.ids import TenantName, parse_model_name, parse_tenant_name
from corral.state.database import reading, writing
from corral.state.tables import grants, tenants
from corral.tenancy.principal import EVERY_MODEL


@dataclass(frozen=True, slots=True)
class Grant:
    """One tenant may use one model, or every one (`*`)."""

    tenant: TenantName
    model: str
    created_at: datetime


def grant_model(engine: Engine, tenant: str, model_or_star: str) -> None:
    """Let a tenant use a model (admitted or not yet) or, with `*`, every one; again is fine.

    Raises:
        CorralError: codes `bad_tenant_name`, `bad_model_name`, `no_such_tenant`,
            `database_unavailable`.
    """
    owner, model = parse_tenant_name(tenant), _parse_model(model_or_star)
    known = select(tenants.c.name).where(tenants.c.name == owner, tenants.c.removed_at.is_(None))
    with writing(engine) as connection:
        if connection.execute(known).first() is None:
            raise CorralError(
                "no_such_tenant", f"there is no tenant {owner}", remedy=f"corral tenant add {owner}"
            )
        insert_grant(connection, owner, model)


def insert_grant(connection: Connection, tenant: TenantName, model: str) -> None:
    """Do `grant_model` inside the caller's write transaction; both names are checked already."""
    connection.execute(
        insert(grants)
        .values(tenant=tenant, model=model, created_at=int(time.time()))
        .on_conflict_do_nothing()
    )


def list_grants(engine: Engine, *, tenant: str | None = None) -> tuple[Grant, ...]:
    """Return every grant, by tenant and model.

    Raises:
        CorralError: code `database_unavailable`.
    """
    query = select(grants).order_by(grants.c.tenant, grants.c.model)
    if tenant is not None:
        query = query.where(grants.c.tenant == tenant)
    with reading(engine) as connection:
        return tuple(
            Grant(
                tenant=TenantName(row.tenant),
                model=row.model,
                created_at=datetime.fromtimestamp(row.created_at, UTC),
            )
            for row in connection.execute(query)
        )


def revoke_grant(engine: Engine, tenant: str, model_or_star: str) -> None:
    """Take a grant back; it ends at once for new requests.

    Raises:
        CorralError: codes `no_such_grant`, `database_unavailable`.
    """
    with writing(engine) as connection:
        gone = connection.execute(
            delete(grants).where(grants.c.tenant == tenant, grants.c.model == model_or_star)
        )
        if gone.rowcount == 0:
            raise CorralError(
                "no_such_grant", "there is no such grant", remedy="see them: corral grant list"
            )


def _parse_model(text: str) -> str:
    return text if text == EVERY_MODEL else parse_model_name(text)
