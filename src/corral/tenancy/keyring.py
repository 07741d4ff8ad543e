"""Authenticate a token against keys held in memory; a revoke anywhere acts at the next request.

Trust: gateway [net]. Must never let a token in when it cannot tell: a database that cannot be
checked, a row that makes no sense, an unknown pepper all mean no.
Input: untrusted token text, length and pattern checked first; database rows written by corral.
A word in a key's scopes that is no permission gives nothing.

Cost of one call: change check 3 µs, HMAC 1 µs. The expiry is compared at each call, so that time
passing needs no reload.
"""

from __future__ import annotations

import hmac
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.state.change import ChangeWatch
from corral.state.connection import open_reader
from corral.telemetry.log import get_logger
from corral.tenancy.certificate import (
    FINGERPRINT_SHOWN,
    CertificateTable,
    ClientCertificate,
    ClientTrust,
    Credential,
    load_certificates,
)
from corral.tenancy.holder import CERTIFICATES
from corral.tenancy.permissions import OUTLASTING, ROLES, Permission
from corral.tenancy.principal import Principal
from corral.tenancy.shares import RIGHTS
from corral.tenancy.token import HASH_BYTES, check_pepper, hash_token, parse_token

_log = get_logger(__name__)

_LIVE_KEYS: Final = """
SELECT keys.id, keys.prefix, keys.hash, keys.tenant, keys.role, keys.expires_at, keys.scopes,
keys.models, keys.old_hash, keys.old_until
FROM keys JOIN tenants ON tenants.name = keys.tenant
WHERE keys.revoked_at IS NULL AND tenants.frozen_at IS NULL AND tenants.removed_at IS NULL
AND (keys.expires_at IS NULL OR keys.expires_at > unixepoch())
"""
_TENANTS: Final = "SELECT name, frozen_at IS NULL AND removed_at IS NULL FROM tenants"
_ISSUER_KEYS: Final = "SELECT name, issuer, jwks, fetched_at FROM issuer_keys"
_NO_HASH: Final = bytes(HASH_BYTES)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key. `old_hash` is of the token before the last rotation, or of none."""

    hash: bytes
    principal: Principal
    old_hash: bytes
    old_principal: Principal


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """Public keys of an OIDC provider. `fetched_at` is Unix seconds."""

    issuer: str
    jwks: str
    fetched_at: int


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What the database said. `grants` has the live tenants only."""

    entries: dict[str, _Entry] = field(default_factory=dict)
    grants: dict[str, frozenset[str]] = field(default_factory=dict)
    barred: frozenset[str] = frozenset()
    issuers: dict[str, IssuerKeys] = field(default_factory=dict)
    certificates: CertificateTable = field(default_factory=CertificateTable)


_NOTHING: Final = _Snapshot()


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
        self._held: _Snapshot | None = None
        self._failing = False
        self._version = 0
        self._others: Callable[[str], Principal | None] = lambda _token: None

    def take_also(self, authenticate: Callable[[str], Principal | None]) -> None:
        """Ask `authenticate` about tokens that have not the form of a key."""
        self._others = authenticate

    def version(self) -> int | None:
        """Return a number that is another one once any key, tenant, grant or model has changed.

        None if that cannot be told. Keys that end by their expiry do not change it.
        """
        with self._lock:
            self._current()
            return None if self._failing else self._version

    def identify(self, credential: Credential) -> Principal | None:
        """Return whose request it is, or None: a certificate and a token must name one tenant."""
        token, certificate = credential
        trust = self.client_trust()
        if certificate is None:
            return None if trust and trust.required else self.authenticate(token or "")
        shown = self._shown(certificate)
        if token is None or shown is None:
            return shown
        held = self.authenticate(token)
        if held is None or held.tenant != shown.tenant:
            return None
        return held.bounded_by(shown)

    def client_trust(self) -> ClientTrust | None:
        """Return who may sign client certificates; None if none are taken, or nothing is known."""
        with self._lock:
            return self._current().certificates.trust

    def authenticate(self, token: str) -> Principal | None:
        """Return who holds `token`, or None: unknown, malformed, revoked, expired, frozen.

        Not for requests: those may have a certificate too (`identify`).
        """
        prefix = parse_token(token)
        if prefix is None:
            return self._others(token)
        with self._lock:
            entry = self._current().entries.get(prefix)
        # An unknown prefix costs the same HMAC and comparisons as a known one.
        given = hash_token(self._pepper, token)
        matches = hmac.compare_digest(entry.hash if entry else _NO_HASH, given)
        matches_old = hmac.compare_digest(entry.old_hash if entry else _NO_HASH, given)
        if entry is None or not (matches or matches_old):
            return None
        principal = entry.principal if matches else entry.old_principal
        ends_at = principal.expires_at
        if ends_at is not None and time.time() >= ends_at:
            return None
        return principal

    def _shown(self, certificate: ClientCertificate) -> Principal | None:
        with self._lock:
            current = self._current()
        found = current.certificates.find(certificate, time.time())
        models = current.grants.get(found.tenant) if found else None
        if found is None or models is None:  # unknown, or its tenant is frozen or removed
            return None
        return Principal(
            key_id=CERTIFICATES + found.row,
            key_prefix=f"mtls-{certificate.sha256[:FINGERPRINT_SHOWN]}",
            tenant=TenantName(found.tenant),
            role=found.role,
            models=models,
            expires_at=certificate.ends_at,
            credential="mtls",
        )

    def grants_of(self, tenant: str) -> frozenset[str] | None:
        """Return the models granted to a tenant; None if it is frozen, removed or unknown."""
        with self._lock:
            return self._current().grants.get(tenant)

    def issuer_keys(self, provider: str) -> IssuerKeys | None:
        """Return what was fetched of a provider; None if nothing was."""
        with self._lock:
            return self._current().issuers.get(provider)

    def barred(self) -> frozenset[str]:
        """Return the tenants that are known to be frozen or removed; none if nothing is known."""
        with self._lock:
            return self._current().barred

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._watch.close()
            self._held = None

    def _current(self) -> _Snapshot:
        try:
            if self._watch.changed() or self._held is None:
                # A failed read must leave nothing to answer from: the change is reported once.
                self._held = None
                self._version += 1
                self._held = _load(self._database)
        except (sqlite3.Error, OSError, CorralError, ValueError) as error:
            self._held = None
            if not self._failing:
                _log.error("keyring_unavailable", reason=type(error).__name__)
            self._failing = True
            return _NOTHING
        self._failing = False
        return self._held


def _load(database: Path) -> _Snapshot:
    connection = open_reader(database)
    try:
        connection.execute("BEGIN")  # one snapshot for all queries
        granted: dict[str, set[str]] = {}
        for tenant, model in connection.execute(RIGHTS):
            granted.setdefault(tenant, set()).add(model)
        tenants = dict(connection.execute(_TENANTS).fetchall())
        grants = {name: frozenset(granted.get(name, ())) for name, live in tenants.items() if live}
        return _Snapshot(
            entries={row[1]: _entry(row, grants) for row in connection.execute(_LIVE_KEYS)},
            grants=grants,
            barred=frozenset(name for name, live in tenants.items() if not live),
            issuers={row[0]: IssuerKeys(*row[1:]) for row in connection.execute(_ISSUER_KEYS)},
            certificates=load_certificates(connection),
        )
    finally:
        connection.close()


def _entry(row: tuple[Any, ...], grants: dict[str, frozenset[str]]) -> _Entry:
    key_id, prefix, digest, tenant, role, expires_at, scopes, models, old_hash, old_until = row
    if len(digest) != HASH_BYTES or role not in ROLES:
        raise ValueError("a key's row makes no sense")
    principal = Principal(
        key_id=key_id,
        key_prefix=prefix,
        tenant=TenantName(tenant),
        role=role,
        models=grants[tenant],
        expires_at=expires_at,
        scopes=_words(scopes),
        only_models=_words(models),
    )
    if old_hash is None:
        return _Entry(digest, principal, _NO_HASH, principal)
    ends_at = old_until if expires_at is None else min(old_until, expires_at)
    left = frozenset(str(one) for one in Permission if principal.may(one)) - OUTLASTING
    old = replace(principal, expires_at=ends_at, scopes=left)
    return _Entry(digest, principal, old_hash, old)


def _words(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(text.split())
