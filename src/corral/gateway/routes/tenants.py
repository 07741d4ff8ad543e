"""/admin/v1/tenants: add, list, show, freeze, thaw, remove and wipe tenants.

Trust: gateway [net]. Input: requests of operators (and, what only looks, of auditors).
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

import msgspec

from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.gateway.call import Call, Nothing
from corral.tenancy.tenants import (
    Tenant,
    add_tenant,
    freeze_tenant,
    list_tenants,
    remove_tenant,
    show_tenant,
)
from corral.tenancy.wipe import erase_tenant, freeze_for_wipe

_STOP_S: Final = 15.0
_LOOK_S: Final = 0.05


class NewTenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body: a tenant to add; `reuse` takes the name of a removed one, with its usage."""

    name: str
    reuse: bool = False

    def words(self) -> dict[str, str]:
        """Return what the audit log keeps of it."""
        return {"tenant": self.name, **({"reuse": "true"} if self.reuse else {})}


class Removal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Query: `sure` removes also who has live keys or requests on record."""

    sure: bool = False


class Confirmation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body: the tenant's name once more, for what cannot be undone."""

    confirm: str


class TenantList(msgspec.Struct, frozen=True):
    """Every tenant that was not removed, by name."""

    data: tuple[Tenant, ...]
    kind: str = msgspec.field(default="list", name="object")


class TenantSheet(msgspec.Struct, frozen=True):
    """A tenant and what it has; times are RFC 3339."""

    name: str
    created_at: datetime
    frozen_at: datetime | None
    live_keys: int
    keys: int
    models: tuple[str, ...]
    requests: int
    last_request_at: datetime | None


class TenantRemoved(msgspec.Struct, frozen=True):
    """What was ended with a tenant."""

    name: str
    revoked_keys: int
    removed: bool = True


class TenantWiped(msgspec.Struct, frozen=True):
    """A tenant whose data nobody can read any more; it is frozen."""

    name: str
    wiped: bool = True


def tenant_list(call: Call[Nothing]) -> TenantList:
    """GET /admin/v1/tenants."""
    return TenantList(list_tenants(call.services.database))


def tenant_sheet(call: Call[Nothing]) -> TenantSheet:
    """GET /admin/v1/tenants/{tenant}."""
    tenant, has = show_tenant(call.services.database, call.names["tenant"])
    return TenantSheet(
        name=tenant.name, created_at=tenant.created_at, frozen_at=tenant.frozen_at,
        live_keys=has.live_keys, keys=has.keys, models=has.models, requests=has.requests,
        last_request_at=has.last_request_at,
    )  # fmt: skip


async def tenant_add(call: Call[NewTenant]) -> Tenant:
    """POST /admin/v1/tenants."""
    new, database = call.asked, call.services.database
    return await asyncio.to_thread(add_tenant, database, new.name, reuse=new.reuse)


async def tenant_freeze(call: Call[Nothing]) -> Tenant:
    """POST /admin/v1/tenants/{tenant}/freeze."""
    return await asyncio.to_thread(freeze_tenant, call.services.database, call.names["tenant"])


async def tenant_thaw(call: Call[Nothing]) -> Tenant:
    """POST /admin/v1/tenants/{tenant}/thaw."""
    return await asyncio.to_thread(
        freeze_tenant, call.services.database, call.names["tenant"], frozen=False
    )


async def tenant_remove(call: Call[Removal]) -> TenantRemoved:
    """DELETE /admin/v1/tenants/{tenant}."""
    name = call.names["tenant"]
    had = await asyncio.to_thread(remove_tenant, call.services.database, name, sure=call.asked.sure)
    return TenantRemoved(name, had.live_keys)


async def tenant_wipe(call: Call[Confirmation]) -> TenantWiped:
    """POST /admin/v1/tenants/{tenant}/wipe: freeze, end its engines, destroy its key."""
    services, name = call.services, call.names["tenant"]
    if call.asked.confirm != name:
        raise CorralError("not_confirmed", "a wipe cannot be undone")
    tenant = await asyncio.to_thread(freeze_for_wipe, services.database, name)
    await _end_workers(call, tenant)
    await asyncio.to_thread(erase_tenant, services.database, tenant, look=False)
    return TenantWiped(tenant)


async def _end_workers(call: Call[Confirmation], tenant: TenantName) -> None:
    """Wait until no engine of a frozen tenant lives; `gateway.standing` ends its requests."""
    router, loop = call.services.router, asyncio.get_running_loop()
    until = loop.time() + _STOP_S
    while router.runs({tenant}):
        if loop.time() > until:
            raise CorralError("wipe_incomplete", "an engine of the tenant does not end")
        router.stop_tenants({tenant})
        await asyncio.sleep(_LOOK_S)
