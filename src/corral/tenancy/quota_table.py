"""The operator's limits: set, clear and show them.

Trust: operator side. Input: the operator's names and numbers, checked. A running gateway reads what
changed at the next request (`tenancy.allotments`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, select
from sqlalchemy.dialects.sqlite import insert

from corral.core.config import Limits
from corral.core.errors import CorralError
from corral.core.ids import parse_model_name, parse_tenant_name
from corral.state.database import reading, writing
from corral.state.tables import keys, quotas, tenants
from corral.tenancy.holder import parse_holder
from corral.tenancy.quota import Scope, check_quota, default_quota


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


def find_scope(engine: Engine, *, tenant: str = "", key: str = "", model: str = "") -> Scope:
    """Return the scope that an operator names: a tenant, a key, or a tenant's use of a model.

    Args:
        engine: from `state.database.open_database`.
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
    with reading(engine) as connection:
        if not key:
            name = parse_tenant_name(tenant)
            if connection.execute(select(tenants).where(tenants.c.name == name)).first() is None:
                raise CorralError("no_such_tenant", "there is no such tenant")
            return Scope(name, model=parse_model_name(model) if model else "")
        holder = parse_holder(key)
        if holder is not None:
            name = parse_tenant_name(tenant)
            if connection.execute(select(tenants).where(tenants.c.name == name)).first() is None:
                raise CorralError("no_such_tenant", "there is no such tenant")
            return Scope(name, key_id=holder)
        named = keys.c.id == int(key) if key.isdecimal() else keys.c.prefix == key
        row = connection.execute(select(keys.c.id, keys.c.tenant).where(named)).first()
    if row is None or (tenant and row.tenant != tenant):
        raise CorralError("no_such_key", "there is no such key", remedy="corral key list")
    return Scope(row.tenant, key_id=row.id)


def set_quotas(engine: Engine, scope: Scope, values: dict[str, int]) -> None:
    """Set limits of one scope, all or none; they hold from the next request on.

    Raises:
        CorralError: codes `no_such_quota`, `quota_scope`, `quota_value`, `database_unavailable`.
    """
    for name, value in values.items():
        check_quota(scope, name, value)
    with writing(engine) as connection:
        for name, value in values.items():
            row = {**scope._asdict(), "name": name, "value": value}
            statement = insert(quotas).values(**row)
            connection.execute(
                statement.on_conflict_do_update(index_elements=[*row][:4], set_={"value": value})
            )


def clear_quotas(engine: Engine, scope: Scope, names: list[str]) -> int:
    """Take limits of one scope back; return how many there were.

    Args:
        engine: from `state.database.open_database`.
        scope: whose.
        names: which; empty for all.

    Raises:
        CorralError: code `database_unavailable`.
    """
    statement = delete(quotas).where(_of(scope))
    if names:
        statement = statement.where(quotas.c.name.in_(names))
    with writing(engine) as connection:
        return connection.execute(statement).rowcount


def list_quotas(engine: Engine, limits: Limits, *, tenant: str = "") -> tuple[SetQuota, ...]:
    """Return every limit that was set, and what else holds for each tenant.

    Args:
        engine: from `state.database.open_database`.
        limits: the effective configuration.
        tenant: only this one.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with reading(engine) as connection:
        names = [row.name for row in connection.execute(select(tenants).order_by(tenants.c.name))]
        found = _rows(connection)
    ours = {(one.scope, one.name) for one in found}
    for name in names:
        scope = Scope(name)
        for limit, value in asdict(default_quota(limits)).items():
            if value is not None and (scope, limit) not in ours:
                found.append(SetQuota(scope, limit, value, is_default=True))
    chosen = [one for one in found if not tenant or one.scope.tenant == tenant]
    return tuple(sorted(chosen, key=lambda one: (one.scope, one.name)))


def _rows(connection: Connection) -> list[SetQuota]:
    return [
        SetQuota(Scope(row.tenant, row.key_id, row.model), row.name, row.value)
        for row in connection.execute(select(quotas))
    ]


def _of(scope: Scope) -> ColumnElement[bool]:
    return and_(
        quotas.c.tenant == scope.tenant,
        quotas.c.key_id == scope.key_id,
        quotas.c.model == scope.model,
    )
