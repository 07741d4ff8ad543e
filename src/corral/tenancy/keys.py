"""API keys: create, list, revoke.

Trust: operator side. The token leaves `create_key` once and is nowhere else.
Input: the operator's names and dates, checked.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, Engine, Row, insert, or_, select, update

from corral.core.errors import CorralError
from corral.core.ids import TenantName, parse_tenant_name
from corral.state.database import reading, writing
from corral.state.tables import keys, tenants
from corral.tenancy.principal import Role
from corral.tenancy.token import check_pepper, hash_token, new_token

_NAME_CHARACTERS: Final = 64

KeyStatus = Literal["active", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a key, without its secret. Times are aware datetimes in UTC.

    Attributes:
        prefix: the public part, `sk-corral-<prefix>-…`.
        name: the operator's label.
    """

    id: int
    prefix: str
    tenant: TenantName
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def status(self, now: datetime | None = None) -> KeyStatus:
        """Return whether the key is good at `now` (default: this moment)."""
        if self.revoked_at is not None:
            return "revoked"
        moment = now or datetime.now(UTC)
        return "expired" if self.expires_at is not None and moment >= self.expires_at else "active"


def create_key(
    engine: Engine,
    pepper: bytes,
    *,
    tenant: str,
    name: str,
    role: Role = "tenant",
    expires_at: datetime | None = None,
) -> tuple[str, KeyRecord]:
    """Make a key; return (token, record). The token cannot be shown again.

    Args:
        engine: from `state.database.open_database`.
        pepper: from `tenancy.token.load_pepper`.
        tenant: an existing tenant.
        name: label of 1 to 64 printable characters.
        role: `admin` may operate the server.
        expires_at: aware datetime in the future; None never expires.

    Raises:
        CorralError: codes `no_such_tenant`, `bad_tenant_name`, `bad_key_name`, `bad_role`,
            `bad_expiry`, `bad_pepper`, `database_unavailable`.
    """
    with writing(engine) as connection:
        return insert_key(
            connection, pepper, tenant=tenant, name=name, role=role, expires_at=expires_at
        )


def insert_key(
    connection: Connection,
    pepper: bytes,
    *,
    tenant: str,
    name: str,
    role: Role,
    expires_at: datetime | None = None,
) -> tuple[str, KeyRecord]:
    """Do `create_key` inside the caller's write transaction."""
    check_pepper(pepper)
    owner = parse_tenant_name(tenant)
    now = int(time.time())
    expiry = _check_expiry(expires_at, now)
    if not 1 <= len(name) <= _NAME_CHARACTERS or not name.isprintable():
        raise CorralError(
            "bad_key_name", f"a key's name has 1 to {_NAME_CHARACTERS} printable characters"
        )
    if role not in get_args(Role):
        raise CorralError("bad_role", "a key's role is 'tenant' or 'admin'")
    if connection.execute(select(tenants.c.name).where(tenants.c.name == owner)).first() is None:
        raise CorralError(
            "no_such_tenant", f"there is no tenant {owner}", remedy=f"corral tenant add {owner}"
        )
    token, prefix = new_token()
    while connection.execute(select(keys.c.id).where(keys.c.prefix == prefix)).first():
        token, prefix = new_token()
    row = connection.execute(
        insert(keys)
        .values(
            prefix=prefix,
            hash=hash_token(pepper, token),
            tenant=owner,
            name=name,
            role=role,
            created_at=now,
            expires_at=expiry,
        )
        .returning(*_COLUMNS)
    ).one()
    return token, _record(row)


def list_keys(engine: Engine, *, tenant: str | None = None) -> tuple[KeyRecord, ...]:
    """Return every key, also revoked and expired ones, oldest first.

    Args:
        engine: from `state.database.open_database`.
        tenant: only this tenant's keys.

    Raises:
        CorralError: code `database_unavailable`.
    """
    query = select(*_COLUMNS).order_by(keys.c.id)
    if tenant is not None:
        query = query.where(keys.c.tenant == tenant)
    with reading(engine) as connection:
        return tuple(_record(row) for row in connection.execute(query))


def revoke_key(engine: Engine, prefix_or_id: str | int) -> KeyRecord:
    """Revoke a key at once and for good; a second time changes nothing.

    Args:
        engine: from `state.database.open_database`.
        prefix_or_id: id, prefix, `sk-corral-<prefix>` or the whole token.

    Raises:
        CorralError: codes `no_such_key`, `database_unavailable`.
    """
    text = str(prefix_or_id).strip()
    prefix = text.removeprefix("sk-corral-").split("-", 1)[0]
    # A prefix starts with a letter, so that it is never taken for an id.
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None
    with writing(engine) as connection:
        row = connection.execute(
            select(*_COLUMNS).where(or_(keys.c.prefix == prefix, keys.c.id == number))
        ).first()
        if row is None:
            # The text is not repeated: it may be a whole token.
            raise CorralError(
                "no_such_key", "there is no such key", remedy="see the ids: corral key list"
            )
        connection.execute(
            update(keys)
            .where(keys.c.id == row.id, keys.c.revoked_at.is_(None))
            .values(revoked_at=int(time.time()))
        )
        return _record(connection.execute(select(*_COLUMNS).where(keys.c.id == row.id)).one())


_COLUMNS: Final = tuple(column for column in keys.c if column.name != "hash")


def _record(row: Row[Any]) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        prefix=row.prefix,
        tenant=TenantName(row.tenant),
        name=row.name,
        role=row.role,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        expires_at=_moment(row.expires_at),
        revoked_at=_moment(row.revoked_at),
        last_used_at=_moment(row.last_used_at),
    )


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _check_expiry(expires_at: datetime | None, now_s: int) -> int | None:
    if expires_at is None:
        return None
    if expires_at.tzinfo is None or expires_at.timestamp() <= now_s:
        raise CorralError("bad_expiry", "a key's expiry is a moment in the future, with its zone")
    return int(expires_at.timestamp())
