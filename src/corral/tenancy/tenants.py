"""Tenants: add, list, freeze, remove.

Trust: operator side. Input: the operator's names, checked.

A removed tenant keeps its row, its revoked keys and its usage: what was done stays on record under
a name that nobody else gets, unless the operator says so.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from corral.core.errors import CorralError
from corral.core.ids import TenantName, parse_tenant_name
from corral.state.database import reading, writing
from corral.state.tables import (
    client_certificates,
    grants,
    keys,
    quarantines,
    quotas,
    shares,
    spent,
    stored_completions,
    tenant_keys,
    tenants,
    usage,
)


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant. Times are aware datetimes in UTC.

    Attributes:
        frozen_at: since when every key of this tenant is denied; None if it is not frozen.
    """

    name: TenantName
    created_at: datetime
    frozen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a tenant has.

    Attributes:
        live_keys: neither revoked nor expired.
        keys: all that were ever made.
        models: granted.
        requests: on record.
        last_request_at: end of the last one.
    """

    live_keys: int
    keys: int
    models: tuple[str, ...]
    requests: int
    last_request_at: datetime | None


def add_tenant(engine: Engine, name: str, *, reuse: bool = False) -> Tenant:
    """Add a tenant, without keys and without grants.

    Args:
        engine: from `state.database.open_database`.
        name: its name.
        reuse: take the name also if a removed tenant had it; its usage stays under the name.

    Raises:
        CorralError: codes `bad_tenant_name`, `tenant_exists`, `tenant_name_used`,
            `database_unavailable`.
    """
    checked = parse_tenant_name(name)
    now = int(time.time())
    try:
        with writing(engine) as connection:
            former = connection.execute(
                select(tenants.c.removed_at).where(tenants.c.name == checked)
            ).scalar()
            if former is None:
                connection.execute(insert(tenants).values(name=checked, created_at=now))
            elif reuse:
                connection.execute(
                    update(tenants)
                    .where(tenants.c.name == checked)
                    .values(created_at=now, frozen_at=None, removed_at=None)
                )
            else:
                raise CorralError(
                    "tenant_name_used",
                    f"a tenant {checked} was removed; what is on record under its name is its own",
                    remedy=f"take another name, or: corral tenant add {checked} --reuse",
                )
    except IntegrityError as error:
        raise CorralError("tenant_exists", f"there is a tenant {checked} already") from error
    return Tenant(name=checked, created_at=datetime.fromtimestamp(now, UTC), frozen_at=None)


def list_tenants(engine: Engine) -> tuple[Tenant, ...]:
    """Return every tenant that was not removed, by name.

    Raises:
        CorralError: code `database_unavailable`.
    """
    query = select(tenants).where(tenants.c.removed_at.is_(None)).order_by(tenants.c.name)
    with reading(engine) as connection:
        return tuple(_tenant(row) for row in connection.execute(query))


def show_tenant(engine: Engine, name: str) -> tuple[Tenant, Holdings]:
    """Return a tenant and what it has.

    Raises:
        CorralError: codes `no_such_tenant`, `database_unavailable`.
    """
    with reading(engine) as connection:
        return _find(connection, name), _holdings(connection, name)


def freeze_tenant(engine: Engine, name: str, *, frozen: bool = True) -> None:
    """Deny every key of a tenant at once and stop its engines, or let it in again.

    Raises:
        CorralError: codes `no_such_tenant`, `database_unavailable`.
    """
    with writing(engine) as connection:
        _find(connection, name)
        connection.execute(
            update(tenants)
            .where(tenants.c.name == name)
            .values(frozen_at=int(time.time()) if frozen else None)
        )


def remove_tenant(engine: Engine, name: str, *, sure: bool = False) -> Holdings:
    """Remove a tenant: keys are revoked, what else it had is gone; its usage stays.

    Args:
        engine: from `state.database.open_database`.
        name: whom to remove.
        sure: also if it has live keys or usage.

    Returns:
        What it had.

    Raises:
        CorralError: codes `no_such_tenant`, `tenant_in_use`, `database_unavailable`.
    """
    now = int(time.time())
    with writing(engine) as connection:
        _find(connection, name)
        had = _holdings(connection, name)
        if not sure and (had.live_keys or had.requests):
            raise CorralError(
                "tenant_in_use",
                f"{name} has {had.live_keys} live keys and {had.requests} requests on record",
                remedy=f"if it is to go all the same: corral tenant remove {name} --yes",
            )
        connection.execute(
            update(keys)
            .where(keys.c.tenant == name)
            .values(revoked_at=func.coalesce(keys.c.revoked_at, now), old_hash=None, old_until=None)
        )
        connection.execute(delete(grants).where(grants.c.tenant == name))
        connection.execute(
            update(shares)
            .where(or_(shares.c.owner == name, shares.c.receiver == name))
            .where(shares.c.ended_at.is_(None))
            .values(ended_at=now)
        )
        connection.execute(
            delete(client_certificates).where(
                client_certificates.c.tenant == name, client_certificates.c.revoked_at.is_(None)
            )
        )
        for held in (quarantines, quotas, spent, stored_completions, tenant_keys):
            connection.execute(delete(held).where(held.c.tenant == name))
        connection.execute(update(tenants).where(tenants.c.name == name).values(removed_at=now))
        return had


def _find(connection: Connection, name: str) -> Tenant:
    row = connection.execute(
        select(tenants).where(tenants.c.name == name, tenants.c.removed_at.is_(None))
    ).first()
    if row is None:
        raise CorralError("no_such_tenant", "there is no such tenant")
    return _tenant(row)


def _holdings(connection: Connection, name: str) -> Holdings:
    live = keys.c.revoked_at.is_(None) & or_(
        keys.c.expires_at.is_(None), keys.c.expires_at > int(time.time())
    )
    of_keys = connection.execute(
        select(func.count(), func.count().filter(live)).where(keys.c.tenant == name)
    ).one()
    of_usage = connection.execute(
        select(func.count(), func.max(usage.c.ts_ms)).where(usage.c.tenant == name)
    ).one()
    granted = select(grants.c.model).where(grants.c.tenant == name).order_by(grants.c.model)
    last_ms = of_usage[1]
    return Holdings(
        live_keys=of_keys[1],
        keys=of_keys[0],
        models=tuple(connection.execute(granted).scalars()),
        requests=of_usage[0],
        last_request_at=None if last_ms is None else datetime.fromtimestamp(last_ms / 1000, UTC),
    )


def _tenant(row: Row[Any]) -> Tenant:
    return Tenant(
        name=TenantName(row.name),
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        frozen_at=None if row.frozen_at is None else datetime.fromtimestamp(row.frozen_at, UTC),
    )
