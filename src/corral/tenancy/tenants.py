"""Tenants: add, list, freeze, remove.

Trust: gateway [net] and operator side. Input: names of an operator, checked.

A removed tenant keeps its row, its revoked keys and its usage: what was done stays on record under
a name that nobody else gets, unless the operator says so. Who gets it is not shown what is older
than `added_at`.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.core.ids import TenantName, parse_tenant_name
from corral.state.transaction import snapshot, transaction

_SELECT: Final = "SELECT name, created_at, frozen_at, removed_at FROM tenants"
_LIVE: Final = f"{_SELECT} WHERE removed_at IS NULL"
_ADD: Final = "INSERT INTO tenants (name, created_at) VALUES (?, ?)"
_AGAIN: Final = (
    "UPDATE tenants SET created_at = ?, frozen_at = NULL, removed_at = NULL WHERE name = ?"
)
_FREEZE: Final = "UPDATE tenants SET frozen_at = coalesce(frozen_at, ?) WHERE name = ?"
_THAW: Final = "UPDATE tenants SET frozen_at = NULL WHERE name = ?"
_REMOVE: Final = (
    """UPDATE keys SET revoked_at = coalesce(revoked_at, :now), old_hash = NULL, old_until = NULL
    WHERE tenant = :name""",
    "DELETE FROM grants WHERE tenant = :name",
    """UPDATE shares SET ended_at = :now
    WHERE (owner = :name OR receiver = :name) AND ended_at IS NULL""",
    "DELETE FROM client_certificates WHERE tenant = :name AND revoked_at IS NULL",
    "DELETE FROM quarantines WHERE tenant = :name",
    "DELETE FROM quotas WHERE tenant = :name",
    "DELETE FROM spent WHERE tenant = :name",
    "DELETE FROM stored_completions WHERE tenant = :name",
    "DELETE FROM tenant_keys WHERE tenant = :name",
    "UPDATE tenants SET removed_at = :now WHERE name = :name",
)
_KEYS: Final = """
SELECT count(*), count(*) FILTER (
    WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2)
) FROM keys WHERE tenant = ?1
"""
_MODELS: Final = "SELECT model FROM grants WHERE tenant = ? ORDER BY model"
_USAGE: Final = "SELECT count(*), max(ts_ms) FROM usage WHERE tenant = ?"


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


def add_tenant(database: Path, name: str, *, reuse: bool = False) -> Tenant:
    """Add a tenant, without keys and without grants.

    Args:
        database: the installation's.
        name: its name.
        reuse: take the name also if a removed tenant had it; its usage stays under the name.

    Raises:
        CorralError: codes `bad_tenant_name`, `tenant_exists`, `tenant_name_used`,
            `database_unavailable`.
    """
    checked = parse_tenant_name(name)
    now = int(time.time())
    with transaction(database) as connection:
        former = connection.execute(f"{_SELECT} WHERE name = ?", (checked,)).fetchone()
        if former is None:
            connection.execute(_ADD, (checked, now))
        elif former["removed_at"] is None:
            raise CorralError("tenant_exists", f"there is a tenant {checked} already")
        elif reuse:
            connection.execute(_AGAIN, (now, checked))
        else:
            raise CorralError(
                "tenant_name_used",
                f"a tenant {checked} was removed; what is on record under its name is its own",
                remedy=f"take another name, or: corral tenant add {checked} --reuse",
            )
    return Tenant(name=checked, created_at=datetime.fromtimestamp(now, UTC), frozen_at=None)


def added_at(database: Path, name: str) -> datetime:
    """Return since when a name belongs to the tenant that has it now.

    Raises:
        CorralError: codes `no_such_tenant`, `database_unavailable`.
    """
    with snapshot(database) as connection:
        return find_tenant(connection, name).created_at


def list_tenants(database: Path) -> tuple[Tenant, ...]:
    """Return every tenant that was not removed, by name.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with snapshot(database) as connection:
        return tuple(map(_tenant, connection.execute(f"{_LIVE} ORDER BY name")))


def show_tenant(database: Path, name: str) -> tuple[Tenant, Holdings]:
    """Return a tenant and what it has.

    Raises:
        CorralError: codes `no_such_tenant`, `database_unavailable`.
    """
    with snapshot(database) as connection:
        return find_tenant(connection, name), _holdings(connection, name)


def freeze_tenant(database: Path, name: str, *, frozen: bool = True) -> Tenant:
    """Deny every key of a tenant at once and stop its engines, or let it in again.

    Raises:
        CorralError: codes `no_such_tenant`, `database_unavailable`.
    """
    with transaction(database) as connection:
        find_tenant(connection, name)
        if frozen:
            connection.execute(_FREEZE, (int(time.time()), name))
        else:
            connection.execute(_THAW, (name,))
        return find_tenant(connection, name)


def remove_tenant(database: Path, name: str, *, sure: bool = False) -> Holdings:
    """Remove a tenant: keys are revoked, what else it had is gone; its usage stays.

    Args:
        database: the installation's.
        name: whom to remove.
        sure: also if it has live keys or usage.

    Returns:
        What it had.

    Raises:
        CorralError: codes `no_such_tenant`, `tenant_in_use`, `database_unavailable`.
    """
    with transaction(database) as connection:
        find_tenant(connection, name)
        had = _holdings(connection, name)
        if not sure and (had.live_keys or had.requests):
            raise CorralError(
                "tenant_in_use",
                f"{name} has {had.live_keys} live keys and {had.requests} requests on record",
                remedy=f"if it is to go all the same: corral tenant remove {name} --yes",
            )
        for statement in _REMOVE:
            connection.execute(statement, {"name": name, "now": int(time.time())})
        return had


def find_tenant(connection: sqlite3.Connection, name: str) -> Tenant:
    """Return a tenant that was not removed, on the caller's connection.

    Raises:
        CorralError: code `no_such_tenant`.
    """
    row = connection.execute(f"{_LIVE} AND name = ?", (name,)).fetchone()
    if row is None:
        raise CorralError(
            "no_such_tenant", "there is no such tenant", remedy="see them: corral tenant list"
        )
    return _tenant(row)


def _holdings(connection: sqlite3.Connection, name: str) -> Holdings:
    keys, live_keys = connection.execute(_KEYS, (name, int(time.time()))).fetchone()
    requests, last_ms = connection.execute(_USAGE, (name,)).fetchone()
    return Holdings(
        live_keys=live_keys,
        keys=keys,
        models=tuple(model for (model,) in connection.execute(_MODELS, (name,))),
        requests=requests,
        last_request_at=None if last_ms is None else datetime.fromtimestamp(last_ms / 1000, UTC),
    )


def _tenant(row: sqlite3.Row) -> Tenant:
    frozen_at = row["frozen_at"]
    return Tenant(
        name=TenantName(row["name"]),
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
        frozen_at=None if frozen_at is None else datetime.fromtimestamp(frozen_at, UTC),
    )
