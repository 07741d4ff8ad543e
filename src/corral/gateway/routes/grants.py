"""/admin/v1/grants, and /admin/v1/tenants/{tenant}/grants/{model}: who may use which model.

Trust: gateway [net]. Input: requests of operators; what only looks also of auditors, and of
tenant-admins for their own tenant.
"""

from __future__ import annotations

import asyncio

import msgspec

from corral.gateway.call import Call, Nothing
from corral.tenancy.delegation import reach
from corral.tenancy.grants import Grant, grant_model, list_grants, revoke_grant


class GrantQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Query: only this tenant's."""

    tenant: str = ""


class GrantList(msgspec.Struct, frozen=True):
    """Grants, by tenant and model; the model `*` stands for every one."""

    data: tuple[Grant, ...]
    kind: str = msgspec.field(default="list", name="object")


class GrantChanged(msgspec.Struct, frozen=True):
    """Whether a tenant may use a model by grant."""

    tenant: str
    model: str
    granted: bool


def grant_list(call: Call[GrantQuery]) -> GrantList:
    """GET /admin/v1/grants."""
    tenant = reach(call.principal, call.asked.tenant)
    return GrantList(list_grants(call.services.database, tenant=tenant))


async def grant_add(call: Call[Nothing]) -> GrantChanged:
    """PUT /admin/v1/tenants/{tenant}/grants/{model}."""
    tenant, model = call.names["tenant"], call.names["model"]
    await asyncio.to_thread(grant_model, call.services.database, tenant, model)
    return GrantChanged(tenant, model, granted=True)


async def grant_revoke(call: Call[Nothing]) -> GrantChanged:
    """DELETE /admin/v1/tenants/{tenant}/grants/{model}."""
    tenant, model = call.names["tenant"], call.names["model"]
    await asyncio.to_thread(revoke_grant, call.services.database, tenant, model)
    return GrantChanged(tenant, model, granted=False)
