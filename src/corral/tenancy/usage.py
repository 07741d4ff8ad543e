"""Sum up usage rows for the operator.

Trust: operator side. Input: rows that the ledger wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, case, func, select

from corral.core.errors import CorralError
from corral.state.database import reading
from corral.state.tables import usage

_DAY: Final = func.strftime("%Y-%m-%d", usage.c.ts_ms / 1000, "unixepoch")
GROUPS: Final[dict[str, ColumnElement[Any]]] = {
    "tenant": usage.c.tenant,
    "key": usage.c.key_id,
    "model": usage.c.model,
    "day": _DAY,
}
"""What usage can be told apart by; days are of UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotal:
    """What was used by one group; what it was not told apart by is None.

    Attributes:
        key: id of the key.
        day: `2026-11-29`, in UTC.
        failed: requests whose status is not `ok`.
        engine_s: time in which an engine had the requests, added up.
        energy_j: None: no counter of this host is read for requests.
    """

    tenant: str | None = None
    key: int | None = None
    model: str | None = None
    day: str | None = None
    requests: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    engine_s: float
    energy_j: float | None = None

    def document(self, by: Sequence[str]) -> dict[str, object]:
        """Return it for JSON and CSV, with the groups that it was told apart by first."""
        fields = asdict(self)
        return {**{name: fields.pop(name) for name in by}, **{
            name: value for name, value in fields.items() if name not in GROUPS
        }}  # fmt: skip


def parse_groups(text: str) -> tuple[str, ...]:
    """Return groups named as `tenant,model`.

    Raises:
        CorralError: code `bad_group`.
    """
    names = tuple(text.split(","))
    if len(set(names)) < len(names) or not set(names) <= set(GROUPS):
        raise CorralError("bad_group", f"usage is told apart by {', '.join(GROUPS)}, each once")
    return names


def sum_usage(
    engine: Engine,
    *,
    by: Sequence[str] = ("tenant", "model"),
    tenant: str | None = None,
    since: datetime | None = None,
) -> tuple[UsageTotal, ...]:
    """Return totals by groups, in their order.

    Args:
        engine: from `state.database.open_database`.
        by: names of `GROUPS`.
        tenant: only this tenant.
        since: only requests that ended at or after this aware moment.

    Raises:
        CorralError: code `database_unavailable`.
    """
    groups = [GROUPS[name].label(name) for name in by]
    query = (
        select(
            *groups,
            func.count().label("requests"),
            func.sum(case((usage.c.status == "ok", 0), else_=1)).label("failed"),
            func.sum(usage.c.prompt_tokens).label("prompt_tokens"),
            func.sum(usage.c.completion_tokens).label("completion_tokens"),
            func.sum(usage.c.cached_tokens).label("cached_tokens"),
            (func.sum(usage.c.engine_ms) / 1000.0).label("engine_s"),
        )
        .group_by(*groups)
        .order_by(*groups)
    )
    if tenant is not None:
        query = query.where(usage.c.tenant == tenant)
    if since is not None:
        query = query.where(usage.c.ts_ms >= int(since.timestamp() * 1000))
    with reading(engine) as connection:
        return tuple(UsageTotal(**row) for row in connection.execute(query).mappings())
