"""GET /admin/v1/usage: what was used, by tenant, key, model or day.

Trust: gateway [net]. Input: requests of whoever may read usage: with `usage:read-all` everybody's,
else the own tenant's only.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated

import msgspec

from corral.core.errors import CorralError
from corral.gateway.call import Call
from corral.tenancy.delegation import reach
from corral.tenancy.holder import holder_name
from corral.tenancy.permissions import Permission
from corral.tenancy.principal import Principal
from corral.tenancy.tenants import added_at
from corral.tenancy.usage import UsageTotal, parse_groups, sum_usage


class UsageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Query: groups as in `tenant,day`; only this tenant; only what ended since then (RFC 3339)."""

    by: str = "tenant,model"
    tenant: str = ""
    since: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class UsageRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """Totals of one group; `key` as `7`, `cert-3` or `oidc-…`; `day` in UTC.

    `energy_j` is for whoever may see everybody's usage: it rests on what the whole machine did.
    """

    requests: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    engine_s: float
    tenant: str | None = None
    key: str | None = None
    model: str | None = None
    day: str | None = None
    energy_j: float | None = None


class UsageList(msgspec.Struct, frozen=True):
    """Totals by group, in their order."""

    data: tuple[UsageRow, ...]
    kind: str = msgspec.field(default="list", name="object")


def usage_list(call: Call[UsageQuery]) -> UsageList:
    """GET /admin/v1/usage."""
    asked, database = call.asked, call.services.database
    tenant, since = _reach(call.principal, asked.tenant), asked.since
    if reach(call.principal) is not None:
        own = added_at(database, call.principal.tenant)
        since = own if since is None else max(since, own)
    totals = sum_usage(database, by=parse_groups(asked.by), since=since, tenant=tenant)
    if not call.principal.may(Permission.USAGE_READ_ALL):
        totals = tuple(replace(total, energy_j=None) for total in totals)
    return UsageList(tuple(map(_row, totals)))


def _reach(principal: Principal, asked: str) -> str | None:
    if principal.may(Permission.USAGE_READ_ALL):
        return reach(principal, asked)
    if asked in {"", principal.tenant}:
        return principal.tenant
    raise CorralError("no_such_tenant", "there is no such tenant")


def _row(total: UsageTotal) -> UsageRow:
    return UsageRow(
        requests=total.requests, failed=total.failed, prompt_tokens=total.prompt_tokens,
        completion_tokens=total.completion_tokens, cached_tokens=total.cached_tokens,
        engine_s=total.engine_s, tenant=total.tenant,
        key=None if total.key is None else holder_name(total.key), model=total.model,
        day=total.day, energy_j=total.energy_j,
    )  # fmt: skip
