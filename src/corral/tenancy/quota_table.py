"""The operator's limits: set, clear and show them.

Trust: gateway [net] and operator side. Input: an operator's names and numbers, checked. A running
gateway reads what changed at the next request (`tenancy.allotments`).
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from corral.core.config import Limits
from corral.core.errors import CorralError
from corral.core.ids import parse_model_name, parse_tenant_name
from corral.state.transaction import snapshot, transaction
from corral.tenancy.holder import parse_holder
from corral.tenancy.quota import Scope, check_quota, default_quota
from corral.tenancy.tenants import find_tenant

_SET: Final = """
INSERT INTO quotas (tenant, key_id, model, name, value) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tenant, key_id, model, name) DO UPDATE SET value = excluded.value
"""
_OF_SCOPE: Final = "DELETE FROM quotas WHERE tenant = ? AND key_id = ? AND model = ?"
_LIST: Final = "SELECT tenant, key_id, model, name, value FROM quotas"
_KEY: Final = "SELECT id, tenant FROM keys WHERE id = ? OR prefix = ?"
_NAMES: Final = "SELECT name FROM tenants WHERE removed_at IS NULL ORDER BY name"


@dataclass(frozen=True, slots=True)
class SetQuota:
    """One limit.

    Attributes:
        is_default: nobody set it: it is of `[limits]`.
    """

    scope: Scope
    name: str
    value: int
    is_default: bool = False


def find_scope(database: Path, *, tenant: str = "", key: str = "", model: str = "") -> Scope:
    """Return the scope that an operator names: a tenant, a key, or a tenant's use of a model.

    Args:
        database: the installation's.
        tenant: its name; not needed with `key`.
        key: id or prefix of a key; with a tenant also `cert-3` or `oidc-…`, as `corral usage` has
            them.
        model: name of a model, admitted or not yet.

    Raises:
        CorralError: codes `no_such_tenant`, `no_such_key`, `bad_tenant_name`, `bad_model_name`,
            `quota_scope`, `database_unavailable`.
    """
    if key and model:
        raise CorralError("quota_scope", "a limit is of a key or of a model, not of both")
    if not key and not tenant:
        raise CorralError("quota_scope", "say whose limit: --tenant NAME or --key KEY")
    holder = parse_holder(key) if key else None
    with snapshot(database) as connection:
        if not key or holder is not None:
            name = find_tenant(connection, parse_tenant_name(tenant)).name
            return Scope(name, holder or 0, parse_model_name(model) if model else "")
        number = int(key) if key.isascii() and key.isdecimal() and len(key) < 18 else 0
        row = connection.execute(_KEY, (number, key)).fetchone()
    if row is None or (tenant and row["tenant"] != tenant):
        raise CorralError("no_such_key", "there is no such key", remedy="corral key list")
    return Scope(row["tenant"], key_id=row["id"])


def change_quotas(database: Path, scope: Scope, values: dict[str, int | None]) -> int:
    """Set limits of one scope and take others back, all or none; from the next request on.

    Args:
        database: the installation's.
        scope: whose.
        values: by name; None takes a limit back.

    Returns:
        How many there were of those that were taken back.

    Raises:
        CorralError: codes `no_such_quota`, `quota_scope`, `quota_value`, `database_unavailable`.
    """
    for name, value in values.items():
        check_quota(scope, name, value)
    gone = 0
    with transaction(database) as connection:
        for name, value in values.items():
            if value is None:
                gone += connection.execute(f"{_OF_SCOPE} AND name = ?", (*scope, name)).rowcount
            else:
                connection.execute(_SET, (*scope, name, value))
    return gone


def clear_quotas(database: Path, scope: Scope) -> int:
    """Take all limits of one scope back; return how many there were.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with transaction(database) as connection:
        return connection.execute(_OF_SCOPE, scope).rowcount


def list_quotas(database: Path, limits: Limits, *, tenant: str = "") -> tuple[SetQuota, ...]:
    """Return every limit that was set, and what else holds for each tenant.

    Args:
        database: the installation's.
        limits: the effective configuration.
        tenant: only this one.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with snapshot(database) as connection:
        names = [name for (name,) in connection.execute(_NAMES)]
        found = list(map(_set_quota, connection.execute(_LIST)))
    ours = {(one.scope, one.name) for one in found}
    for name in names:
        scope = Scope(name)
        for limit, value in asdict(default_quota(limits)).items():
            if value is not None and (scope, limit) not in ours:
                found.append(SetQuota(scope, limit, value, is_default=True))
    chosen = [one for one in found if not tenant or one.scope.tenant == tenant]
    return tuple(sorted(chosen, key=lambda one: (one.scope, one.name)))


def _set_quota(row: sqlite3.Row) -> SetQuota:
    return SetQuota(Scope(row["tenant"], row["key_id"], row["model"]), row["name"], row["value"])
