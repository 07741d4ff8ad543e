"""Sum up usage rows for the operator.

Trust: operator side. Input: rows that the ledger wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, case, func, select

from corral.core.ids import TenantName
from corral.state.database import reading
from corral.state.tables import usage


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """What one tenant used of one model.

    Attributes:
        failed: requests whose status is not `ok`.
    """

    tenant: TenantName
    model: str
    requests: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


def sum_usage(
    engine: Engine, *, tenant: str | None = None, since: datetime | None = None
) -> tuple[UsageTotal, ...]:
    """Return totals by tenant and model.

    Args:
        engine: from `state.database.open_database`.
        tenant: only this tenant.
        since: only requests that ended at or after this aware moment.

    Raises:
        CorralError: code `database_unavailable`.
    """
    query = (
        select(
            usage.c.tenant,
            usage.c.model,
            func.count().label("requests"),
            func.sum(case((usage.c.status == "ok", 0), else_=1)).label("failed"),
            func.sum(usage.c.prompt_tokens).label("prompt_tokens"),
            func.sum(usage.c.completion_tokens).label("completion_tokens"),
            func.sum(usage.c.cached_tokens).label("cached_tokens"),
        )
        .group_by(usage.c.tenant, usage.c.model)
        .order_by(usage.c.tenant, usage.c.model)
    )
    if tenant is not None:
        query = query.where(usage.c.tenant == tenant)
    if since is not None:
        query = query.where(usage.c.ts_ms >= int(since.timestamp() * 1000))
    with reading(engine) as connection:
        return tuple(
            UsageTotal(
                tenant=TenantName(row.tenant),
                model=row.model,
                requests=row.requests,
                failed=row.failed,
                prompt_tokens=row.prompt_tokens,
                completion_tokens=row.completion_tokens,
                cached_tokens=row.cached_tokens,
            )
            for row in connection.execute(query)
        )
