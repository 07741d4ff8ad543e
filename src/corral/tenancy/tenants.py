"""Tenants: add, list, freeze.

Trust: operator side. Input: the operator's names, checked.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from corral.core.errors import CorralError
from corral.core.ids import TenantName, parse_tenant_name
from corral.state.database import reading, writing
from corral.state.tables import tenants


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant. Times are aware datetimes in UTC.

    Attributes:
        frozen_at: since when every key of this tenant is denied; None if it is not frozen.
    """

    name: TenantName
    created_at: datetime
    frozen_at: datetime | None


def add_tenant(engine: Engine, name: str) -> Tenant:
    """Add a tenant, without keys and without grants.

    Raises:
        CorralError: codes `bad_tenant_name`, `tenant_exists`, `database_unavailable`.
    """
    checked = parse_tenant_name(name)
    now = int(time.time())
    try:
        with writing(engine) as connection:
            connection.execute(insert(tenants).values(name=checked, created_at=now))
    except IntegrityError as error:
        raise CorralError("tenant_exists", f"there is a tenant {checked} already") from error
    return Tenant(name=checked, created_at=datetime.fromtimestamp(now, UTC), frozen_at=None)


def list_tenants(engine: Engine) -> tuple[Tenant, ...]:
    """Return every tenant, by name.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with reading(engine) as connection:
        return tuple(
            Tenant(
                name=TenantName(row.name),
                created_at=datetime.fromtimestamp(row.created_at, UTC),
                frozen_at=(
                    None if row.frozen_at is None else datetime.fromtimestamp(row.frozen_at, UTC)
                ),
            )
            for row in connection.execute(select(tenants).order_by(tenants.c.name))
        )


def freeze_tenant(engine: Engine, name: str, *, frozen: bool = True) -> None:
    """Deny every key of a tenant at once, or let them in again.

    Raises:
        CorralError: codes `no_such_tenant`, `database_unavailable`.
    """
    with writing(engine) as connection:
        changed = connection.execute(
            update(tenants)
            .where(tenants.c.name == name)
            .values(frozen_at=int(time.time()) if frozen else None)
        )
        if changed.rowcount == 0:
            raise CorralError("no_such_tenant", "there is no such tenant")
