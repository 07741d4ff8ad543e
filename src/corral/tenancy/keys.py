"""API keys: create, list, rotate, revoke.

Trust: gateway [net] and operator side. The token leaves `create_key` or `rotate_key` once and is
nowhere else. Input: names and dates of whoever may make keys, checked; whether they may make this
one is the caller's to ask (`tenancy.delegation`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from corral.core.errors import CorralError
from corral.core.ids import TenantName, parse_model_name, parse_tenant_name
from corral.state.transaction import snapshot, transaction
from corral.tenancy.permissions import ROLES, Role, permissions_of
from corral.tenancy.tenants import find_tenant
from corral.tenancy.token import check_pepper, hash_token, new_token, token_of

_NAME_CHARACTERS: Final = 64
OVERLAP_S_MAX: Final = 30 * 86400
LIVE_KEYS: Final = 1000
"""That one tenant may have; as many again that have ended are kept. A bound on what it can fill the
table with, which each change makes everybody read."""
_LAST_S: Final = 253_402_214_400
"""The last day that a datetime can have in every zone."""

KeyStatus = Literal["active", "expired", "revoked"]

_INSERT: Final = """
INSERT INTO keys (prefix, hash, tenant, name, role, created_at, expires_at, scopes, models)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *
"""
_LIVE: Final = """
SELECT count(*) FROM keys
WHERE tenant = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)
"""
_FORGET: Final = """
DELETE FROM keys WHERE id IN (
    SELECT id FROM keys
    WHERE tenant = ? AND (revoked_at IS NOT NULL OR expires_at <= ?) ORDER BY id DESC
    LIMIT -1 OFFSET ?
)
"""
_TAKEN: Final = "SELECT 1 FROM keys WHERE prefix = ?"
_LIST: Final = "SELECT * FROM keys WHERE ?1 IS NULL OR tenant = ?1 ORDER BY id"
_FIND: Final = """
SELECT * FROM keys WHERE (prefix = ?1 OR id = ?2) AND (?3 IS NULL OR tenant = ?3 AND
    created_at >= (SELECT created_at FROM tenants WHERE name = ?3))
"""
"""Of a tenant only what is not older than itself: a former one may have had its name."""
_ROTATE: Final = """
UPDATE keys SET hash = ?1, old_hash = iif(?2 IS NULL, NULL, hash), old_until = ?2
WHERE id = ?3 RETURNING *
"""
_REVOKE: Final = """
UPDATE keys SET revoked_at = ?, old_hash = NULL, old_until = NULL
WHERE id = ? AND revoked_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a key, without its secret. Times are aware datetimes in UTC.

    Attributes:
        prefix: the public part, `sk-corral-<prefix>-…`.
        name: the operator's label.
        scopes: the only permissions of its role that it has; None for all of them.
        models: the only models of its tenant that it may use; None for all of them.
        old_until: until when the secret before the last rotation is good; None if there is none.
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
    scopes: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    old_until: datetime | None = None

    def status(self, now: datetime | None = None) -> KeyStatus:
        """Return whether the key is good at `now` (default: this moment)."""
        if self.revoked_at is not None:
            return "revoked"
        moment = now or datetime.now(UTC)
        return "expired" if self.expires_at is not None and moment >= self.expires_at else "active"


def create_key(
    database: Path,
    pepper: bytes,
    *,
    tenant: str,
    name: str,
    role: Role = "user",
    expires_at: datetime | None = None,
    scopes: Collection[str] | None = None,
    models: Collection[str] | None = None,
) -> tuple[str, KeyRecord]:
    """Make a key; return (token, record). The token cannot be shown again.

    Args:
        database: the installation's.
        pepper: from `tenancy.token.load_pepper`.
        tenant: an existing tenant.
        name: label of 1 to 64 printable characters.
        role: what the key may do, see `tenancy.permissions`.
        expires_at: aware datetime in the future; None never expires.
        scopes: permissions that the role has: the key gets only these. None gives all of them.
        models: the key may use only these of its tenant's. None gives all of them.

    Raises:
        CorralError: codes `no_such_tenant`, `bad_tenant_name`, `bad_key_name`, `bad_role`,
            `bad_expiry`, `bad_scope`, `bad_model_name`, `bad_pepper`, `too_many_keys`,
            `database_unavailable`.
    """
    with transaction(database) as connection:
        return insert_key(
            connection, pepper, tenant=tenant, name=name, role=role, expires_at=expires_at,
            scopes=scopes, models=models,
        )  # fmt: skip


def insert_key(
    connection: sqlite3.Connection,
    pepper: bytes,
    *,
    tenant: str,
    name: str,
    role: Role,
    expires_at: datetime | None = None,
    scopes: Collection[str] | None = None,
    models: Collection[str] | None = None,
) -> tuple[str, KeyRecord]:
    """Do `create_key` inside the caller's transaction."""
    check_pepper(pepper)
    owner = parse_tenant_name(tenant)
    now = int(time.time())
    expiry = _check_expiry(expires_at, now)
    if not 1 <= len(name) <= _NAME_CHARACTERS or not name.isprintable():
        raise CorralError(
            "bad_key_name", f"a key's name has 1 to {_NAME_CHARACTERS} printable characters"
        )
    if role not in ROLES:
        raise CorralError("bad_role", f"a key's role is one of: {', '.join(ROLES)}")
    find_tenant(connection, owner)
    allowed = _check_scopes(scopes, role)
    only = None if models is None else _joined(map(parse_model_name, models))
    (live,) = connection.execute(_LIVE, (owner, now)).fetchone()
    if live >= LIVE_KEYS:
        raise CorralError(
            "too_many_keys", f"a tenant has at most {LIVE_KEYS} live keys",
            remedy="end some: corral key revoke",
        )  # fmt: skip
    connection.execute(_FORGET, (owner, now, LIVE_KEYS))
    token, prefix = new_token()
    while connection.execute(_TAKEN, (prefix,)).fetchone():
        token, prefix = new_token()
    values = (prefix, hash_token(pepper, token), owner, name, role, now, expiry, allowed, only)
    return token, _record(connection.execute(_INSERT, values).fetchone())


def list_keys(database: Path, *, tenant: str | None = None) -> tuple[KeyRecord, ...]:
    """Return every key, also revoked and expired ones, oldest first.

    Args:
        database: the installation's.
        tenant: only this tenant's keys.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with snapshot(database) as connection:
        return tuple(map(_record, connection.execute(_LIST, (tenant,))))


def rotate_key(
    database: Path,
    pepper: bytes,
    prefix_or_id: str | int,
    *,
    overlap_s: int = 0,
    tenant: str | None = None,
    allow: Callable[[KeyRecord], None] | None = None,
) -> tuple[str, KeyRecord]:
    """Give a key another secret; return (token, record). Id, prefix, rights and expiry stay.

    Args:
        database: the installation's.
        pepper: from `tenancy.token.load_pepper`.
        prefix_or_id: as for `revoke_key`.
        overlap_s: for how many seconds the secret until now stays good as well; one that an
            earlier rotation left is dead at once.
        tenant: as for `revoke_key`.
        allow: as for `revoke_key`.

    Raises:
        CorralError: codes `no_such_key`, `key_not_active`, `bad_overlap`, `bad_pepper`,
            `database_unavailable`, and what `allow` raises.
    """
    check_pepper(pepper)
    if not 0 <= overlap_s <= OVERLAP_S_MAX:
        raise CorralError("bad_overlap", f"an overlap is 0 to {OVERLAP_S_MAX} seconds")
    with transaction(database) as connection:
        found = _find(connection, prefix_or_id, tenant, allow)
        if found.status() != "active":
            raise CorralError(
                "key_not_active", "a key that was revoked or has expired gets no new secret",
                remedy="make another: corral key create",
            )  # fmt: skip
        token = token_of(found.prefix)
        until = int(time.time()) + overlap_s if overlap_s else None
        values = (hash_token(pepper, token), until, found.id)
        return token, _record(connection.execute(_ROTATE, values).fetchone())


def revoke_key(
    database: Path,
    prefix_or_id: str | int,
    *,
    tenant: str | None = None,
    allow: Callable[[KeyRecord], None] | None = None,
) -> KeyRecord:
    """Revoke a key, every secret of it, at once and for good; a second time changes nothing.

    Args:
        database: the installation's.
        prefix_or_id: id, prefix, `sk-corral-<prefix>` or the whole token.
        tenant: only if it is this tenant's: another's is like one that never was.
        allow: raises if whoever asks may not do that to this key; in the same transaction.

    Raises:
        CorralError: codes `no_such_key`, `database_unavailable`, and what `allow` raises.
    """
    with transaction(database) as connection:
        found = _find(connection, prefix_or_id, tenant, allow)
        connection.execute(_REVOKE, (int(time.time()), found.id))
        return _find(connection, found.id)


def _find(
    connection: sqlite3.Connection,
    prefix_or_id: str | int,
    tenant: str | None = None,
    allow: Callable[[KeyRecord], None] | None = None,
) -> KeyRecord:
    text = str(prefix_or_id).strip()
    prefix = text.removeprefix("sk-corral-").split("-", 1)[0]
    # A prefix starts with a letter, so that it is never taken for an id.
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None
    row = connection.execute(_FIND, (prefix, number, tenant)).fetchone()
    if row is None:
        # The text is not repeated: it may be a whole token.
        raise CorralError(
            "no_such_key", "there is no such key", remedy="see the ids: corral key list"
        )
    found = _record(row)
    if allow is not None:
        allow(found)
    return found


def _record(row: sqlite3.Row) -> KeyRecord:
    scopes, models = row["scopes"], row["models"]
    return KeyRecord(
        id=row["id"],
        prefix=row["prefix"],
        tenant=TenantName(row["tenant"]),
        name=row["name"],
        role=row["role"],
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
        expires_at=_moment(row["expires_at"]),
        revoked_at=_moment(row["revoked_at"]),
        last_used_at=_moment(row["last_used_at"]),
        scopes=None if scopes is None else tuple(scopes.split()),
        models=None if models is None else tuple(models.split()),
        old_until=_moment(row["old_until"]),
    )


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _check_expiry(expires_at: datetime | None, now_s: int) -> int | None:
    if expires_at is None:
        return None
    if expires_at.tzinfo is None or not now_s < expires_at.timestamp() < _LAST_S:
        raise CorralError("bad_expiry", "a key's expiry is a moment in the future, with its zone")
    return int(expires_at.timestamp())


def _check_scopes(scopes: Collection[str] | None, role: str) -> str | None:
    if scopes is None:
        return None
    beyond = sorted(set(scopes) - permissions_of(role))
    if beyond:
        raise CorralError(
            "bad_scope",
            f"a key of the role {role} cannot have the permission {beyond[0]!r}",
            remedy=f"it may have: {', '.join(sorted(permissions_of(role)))}",
        )
    return _joined(scopes)


def _joined(words: Iterable[str]) -> str:
    return " ".join(sorted(set(words)))
