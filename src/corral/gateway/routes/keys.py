"""/admin/v1/keys: make, list, rotate and revoke API keys.

Trust: gateway [net]. Input: requests of operators, of tenant-admins for their own tenant, and, what
only looks, of auditors. A key of another tenant is like one that never was. What a credential may
put into a key says `tenancy.delegation`.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from corral.gateway.call import Call, Nothing
from corral.tenancy.delegation import check_delegation, check_reach_of_role, reach
from corral.tenancy.keys import KeyRecord, create_key, list_keys, revoke_key, rotate_key
from corral.tenancy.permissions import Role
from corral.tenancy.tenants import added_at


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body: a key to make; without `tenant` it is for the caller's own.

    `scopes` are the only permissions of its role that it gets, `models` the only models of its
    tenant's; without them it gets all. `expires_at` is RFC 3339 with a zone.
    """

    tenant: str = ""
    name: str = "key"
    role: Role = "user"
    scopes: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None

    def words(self) -> dict[str, str]:
        """Return what the audit log keeps of it."""
        found: dict[str, str] = {"role": self.role}
        if self.tenant:
            found["tenant"] = self.tenant
        if self.scopes is not None:
            found["scopes"] = _joined(self.scopes)
        if self.models is not None:
            found["models"] = _joined(self.models)
        if self.expires_at is not None:
            found["expires_at_s"] = str(int(self.expires_at.timestamp()))
        return found


class Overlap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body: for how many seconds the old secret stays good as well."""

    overlap_s: int = 0

    def words(self) -> dict[str, str]:
        """Return what the audit log keeps of it."""
        return {"overlap_s": str(self.overlap_s)}


class KeyQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Query: only this tenant's."""

    tenant: str = ""


class KeySheet(msgspec.Struct, frozen=True):
    """A key without its secret; times are RFC 3339."""

    id: int
    prefix: str
    tenant: str
    name: str
    role: str
    scopes: tuple[str, ...] | None
    models: tuple[str, ...] | None
    status: Literal["active", "expired", "revoked"]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    old_secret_until: datetime | None

    def words(self) -> dict[str, str]:
        """Return what the audit log keeps of it: which key it was."""
        return {"key": self.prefix, "of_tenant": self.tenant}


class KeyList(msgspec.Struct, frozen=True):
    """Keys, also revoked and expired ones, oldest first."""

    data: tuple[KeySheet, ...]
    kind: str = msgspec.field(default="list", name="object")


class KeyShown(msgspec.Struct, frozen=True):
    """A key with its secret, which cannot be shown again."""

    key: str
    record: KeySheet

    def words(self) -> dict[str, str]:
        """Return what the audit log keeps of it: which key it was."""
        return self.record.words()


def key_list(call: Call[KeyQuery]) -> KeyList:
    """GET /admin/v1/keys."""
    database = call.services.database
    found = list_keys(database, tenant=reach(call.principal, call.asked.tenant))
    if (own := reach(call.principal)) is not None:
        since = added_at(database, own)
        found = tuple(one for one in found if one.created_at >= since)
    return KeyList(tuple(map(_sheet, found)))


async def key_create(call: Call[NewKey]) -> KeyShown:
    """POST /admin/v1/keys."""
    new, services = call.asked, call.services
    tenant = new.tenant or call.principal.tenant
    check_delegation(
        call.principal, tenant=tenant, role=new.role, scopes=new.scopes, models=new.models,
        expires_at=new.expires_at,
    )  # fmt: skip
    token, record = await asyncio.to_thread(
        create_key, services.database, services.pepper, tenant=tenant, name=new.name,
        role=new.role, expires_at=new.expires_at, scopes=new.scopes, models=new.models,
    )  # fmt: skip
    return KeyShown(token, _sheet(record))


async def key_rotate(call: Call[Overlap]) -> KeyShown:
    """POST /admin/v1/keys/{key}/rotate."""

    def allow(found: KeyRecord) -> None:
        check_delegation(
            call.principal, tenant=found.tenant, role=found.role, scopes=found.scopes,
            models=found.models, expires_at=found.expires_at,
        )  # fmt: skip

    services = call.services
    token, record = await asyncio.to_thread(
        rotate_key, services.database, services.pepper, call.names["key"],
        overlap_s=call.asked.overlap_s, tenant=reach(call.principal), allow=allow,
    )  # fmt: skip
    return KeyShown(token, _sheet(record))


async def key_revoke(call: Call[Nothing]) -> KeySheet:
    """DELETE /admin/v1/keys/{key}."""

    def allow(found: KeyRecord) -> None:
        check_reach_of_role(call.principal, found.role, ending=True)

    record = await asyncio.to_thread(
        revoke_key, call.services.database, call.names["key"], tenant=reach(call.principal),
        allow=allow,
    )  # fmt: skip
    return _sheet(record)


def _joined(words: tuple[str, ...]) -> str:
    return ",".join(sorted(set(words))) or "none"


def _sheet(record: KeyRecord) -> KeySheet:
    return KeySheet(
        id=record.id, prefix=record.prefix, tenant=record.tenant, name=record.name,
        role=record.role, scopes=record.scopes, models=record.models, status=record.status(),
        created_at=record.created_at, expires_at=record.expires_at, revoked_at=record.revoked_at,
        last_used_at=record.last_used_at, old_secret_until=record.old_until,
    )  # fmt: skip
