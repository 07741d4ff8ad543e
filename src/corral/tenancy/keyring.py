"""Authenticate a token against keys held in memory; a revoke anywhere acts at the next request.

Trust: gateway [net]. Must never let a token in when it cannot tell: a database that cannot be
checked, a row that makes no sense, an unknown pepper all mean no.
Input: untrusted token text, length and pattern checked first; database rows written by corral.

Cost of one call: change check 3 µs, HMAC 1 µs. The expiry is compared at each call, so that time
passing needs no reload.
"""

from __future__ import annotations

import hmac
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.state.change import ChangeWatch
from corral.state.connection import open_reader
from corral.telemetry.log import get_logger
from corral.tenancy.principal import Principal
from corral.tenancy.shares import RIGHTS
from corral.tenancy.token import HASH_BYTES, check_pepper, hash_token, parse_token

_log = get_logger(__name__)

_LIVE_KEYS: Final = """
SELECT keys.id, keys.prefix, keys.hash, keys.tenant, keys.role, keys.expires_at
FROM keys JOIN tenants ON tenants.name = keys.tenant
WHERE keys.revoked_at IS NULL AND tenants.frozen_at IS NULL
"""

_NO_HASH: Final = bytes(HASH_BYTES)


@dataclass(frozen=True, slots=True)
class _Entry:
    hash: bytes
    principal: Principal


class Keyring:
    """Every live key of one installation, in memory. Safe for several threads."""

    def __init__(self, database: Path, pepper: bytes) -> None:
        """Remember where to look; nothing is read until the first `authenticate`.

        Raises:
            CorralError: code `bad_pepper`.
        """
        self._database = database
        self._pepper = check_pepper(pepper)
        self._watch = ChangeWatch(database)
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] | None = None
        self._failing = False
        self._version = 0

    def version(self) -> int | None:
        """Return a number that is another one once any key, tenant, grant or model has changed.

        None if that cannot be told. Keys that end by their expiry do not change it.
        """
        with self._lock:
            self._current()
            return None if self._failing else self._version

    def authenticate(self, token: str) -> Principal | None:
        """Return who holds `token`, or None: unknown, malformed, revoked, expired, frozen."""
        prefix = parse_token(token)
        if prefix is None:
            return None
        with self._lock:
            entry = self._current().get(prefix)
        # An unknown prefix costs the same HMAC and comparison as a known one.
        stored = entry.hash if entry else _NO_HASH
        matches = hmac.compare_digest(stored, hash_token(self._pepper, token))
        if entry is None or not matches:
            return None
        ends_at = entry.principal.expires_at
        if ends_at is not None and time.time() >= ends_at:
            return None
        return entry.principal

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._watch.close()
            self._entries = None

    def _current(self) -> dict[str, _Entry]:
        try:
            if self._watch.changed() or self._entries is None:
                # A failed read must leave nothing to answer from: the change is reported once.
                self._entries = None
                self._version += 1
                self._entries = _load(self._database)
        except (sqlite3.Error, OSError, CorralError, ValueError) as error:
            self._entries = None
            if not self._failing:
                _log.error("keyring_unavailable", reason=type(error).__name__)
            self._failing = True
            return {}
        self._failing = False
        return self._entries


def _load(database: Path) -> dict[str, _Entry]:
    connection = open_reader(database)
    try:
        connection.execute("BEGIN")  # one snapshot for both queries
        models: dict[str, set[str]] = {}
        for tenant, model in connection.execute(RIGHTS):
            models.setdefault(tenant, set()).add(model)
        entries = {}
        for key_id, prefix, digest, tenant, role, expires_at in connection.execute(_LIVE_KEYS):
            if len(digest) != HASH_BYTES or role not in {"tenant", "admin"}:
                raise ValueError("a key's row makes no sense")
            principal = Principal(
                key_id=key_id,
                key_prefix=prefix,
                tenant=TenantName(tenant),
                role=role,
                models=frozenset(models.get(tenant, ())),
                expires_at=expires_at,
            )
            entries[prefix] = _Entry(digest, principal)
        return entries
    finally:
        connection.close()
