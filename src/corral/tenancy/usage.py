"""Sum up usage rows.

Trust: gateway [net] and operator side. Input: rows that the ledger wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.state.transaction import snapshot
from corral.tenancy.holder import holder_name

GROUPS: Final = {
    "tenant": "tenant",
    "key": "key_id",
    "model": "model",
    "day": "strftime('%Y-%m-%d', ts_ms / 1000, 'unixepoch')",
}
"""What usage can be told apart by; days are of UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotal:
    """What was used by one group; what it was not told apart by is None.

    Attributes:
        key: number of the key (`tenancy.holder`).
        day: `2026-11-29`, in UTC.
        failed: requests whose status is not `ok`.
        engine_s: time in which an engine had the requests, added up.
        energy_j: of the machine's processors, as `tenancy.energy` shares it out; None where none
            of the requests has a share, because nothing was counted.
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
        """Return it for JSON and CSV, with the groups that it was told apart by first.

        A key is as people read it: no table program keeps all digits of an `oidc-…` number.
        """
        fields = asdict(self) | {"key": None if self.key is None else holder_name(self.key)}
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
    database: Path,
    *,
    by: Sequence[str] = ("tenant", "model"),
    tenant: str | None = None,
    since: datetime | None = None,
) -> tuple[UsageTotal, ...]:
    """Return totals by groups, in their order.

    Args:
        database: the installation's.
        by: names of `GROUPS`.
        tenant: only this tenant.
        since: only requests that ended at or after this aware moment.

    Raises:
        CorralError: code `database_unavailable`.
    """
    # Names and expressions are of `GROUPS` alone: what is asked for only chooses among them.
    groups = ", ".join(f"{GROUPS[name]} AS {name}" for name in by)
    order = ", ".join(str(place) for place in range(1, len(by) + 1))
    query = f"""
SELECT {groups}, count(*) AS requests, sum(status <> 'ok') AS failed,
    sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens,
    sum(cached_tokens) AS cached_tokens, sum(engine_ms) / 1000.0 AS engine_s,
    sum(energy_uj) / 1e6 AS energy_j
FROM usage WHERE (?1 IS NULL OR tenant = ?1) AND ts_ms >= ?2
GROUP BY {order} ORDER BY {order}
"""  # noqa: S608
    since_ms = 0 if since is None else int(since.timestamp() * 1000)
    with snapshot(database) as connection:
        return tuple(UsageTotal(**row) for row in connection.execute(query, (tenant, since_ms)))
