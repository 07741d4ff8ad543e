"""/admin/v1/quotas: the limits of tenants, keys, and tenants' uses of models.

Trust: gateway [net]. Input: requests of operators; what only looks also of auditors, and of
tenant-admins for their own tenant.
"""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from corral.gateway.call import Call
from corral.tenancy.delegation import reach
from corral.tenancy.holder import holder_name
from corral.tenancy.quota import Scope
from corral.tenancy.quota_table import SetQuota, change_quotas, find_scope, list_quotas

LimitName = Literal[
    "requests_per_minute", "tokens_per_minute", "concurrent_requests", "queued_requests",
    "tokens_per_day", "tokens_per_month", "context_tokens", "max_workers", "worker_memory_bytes",
    "stored_completions", "stored_bytes", "stored_days", "weight",
]  # fmt: skip
"""Those of `tenancy.quota.KINDS`."""


class QuotaQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Query: only this tenant's."""

    tenant: str = ""


class QuotaChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body: limits by name; `null` takes one back, so that what the configuration says holds.

    Of the tenant; with `key` of that key of it, with `model` of its use of that model.
    """

    tenant: str
    limits: dict[LimitName, int | None]
    key: str = ""
    model: str = ""

    def words(self) -> dict[str, str]:
        """Return what the audit log keeps of it."""
        whose = {"tenant": self.tenant, "holder": self.key, "of_model": self.model}
        values = {str(n): "none" if v is None else str(v) for n, v in self.limits.items()}
        return values | {name: text for name, text in whose.items() if text}


class QuotaLimit(msgspec.Struct, frozen=True):
    """One limit; `source` is `limits` where nobody set it and the configuration says it."""

    tenant: str
    key: str | None
    model: str | None
    limit: str
    value: int
    source: Literal["set", "limits"]


class QuotaList(msgspec.Struct, frozen=True):
    """Limits that hold."""

    data: tuple[QuotaLimit, ...]
    kind: str = msgspec.field(default="list", name="object")


def quota_list(call: Call[QuotaQuery]) -> QuotaList:
    """GET /admin/v1/quotas."""
    return _limits(call, reach(call.principal, call.asked.tenant) or "")


async def quota_change(call: Call[QuotaChange]) -> QuotaList:
    """POST /admin/v1/quotas; answers with what holds for that tenant then."""
    asked = call.asked

    def change() -> QuotaList:
        database = call.services.database
        scope = find_scope(database, tenant=asked.tenant, key=asked.key, model=asked.model)
        change_quotas(database, scope, {str(n): v for n, v in asked.limits.items()})
        return _limits(call, scope.tenant)

    return await asyncio.to_thread(change)


def _limits(call: Call[QuotaQuery] | Call[QuotaChange], tenant: str) -> QuotaList:
    services = call.services
    found = list_quotas(services.database, services.config.limits, tenant=tenant)
    return QuotaList(tuple(map(_limit, found)))


def _limit(one: SetQuota) -> QuotaLimit:
    scope: Scope = one.scope
    return QuotaLimit(
        tenant=scope.tenant, key=holder_name(scope.key_id) if scope.key_id else None,
        model=scope.model or None, limit=one.name, value=one.value,
        source="limits" if one.is_default else "set",
    )  # fmt: skip
