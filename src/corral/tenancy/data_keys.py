"""Each tenant's data key: random, wrapped by the master key, destroyed when the tenant is wiped.

Trust: gateway [net] and operator side. Input: rows of the database, which the gateway's zone can
write: AES-GCM with the tenant's name as associated data, so that a changed row, or another tenant's
row in its place, is refused.

What encrypts or digests a tenant's data is derived from its data key by HKDF (RFC 5869), each for
one purpose. A key in memory is forgotten once the database has changed.
"""

from __future__ import annotations

import secrets
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.state.change import ChangeWatch
from corral.state.connection import open_reader, open_writer

DATA_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_CONTEXT: Final = b"corral tenant key v1\n"
_AUDIT: Final = b"corral audit prompt v1\n"
_STORED: Final = b"corral stored completion v1\n"
_READ: Final = "SELECT wrapped FROM tenant_keys WHERE tenant = ?"
_ADD: Final = (
    "INSERT INTO tenant_keys (tenant, wrapped, created_at) VALUES (?, ?, ?)"
    " ON CONFLICT (tenant) DO NOTHING"
)


def wrap_key(master: bytes, tenant: str, key: bytes) -> bytes:
    """Return a data key as it is stored: nonce, then AES-256-GCM of the key."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(master).encrypt(nonce, key, _CONTEXT + tenant.encode())


def unwrap_key(master: bytes, tenant: str, wrapped: bytes) -> bytes:
    """Return a data key.

    Raises:
        CorralError: code `tenant_key_unreadable`: it was changed, is another tenant's, or was
            wrapped by another master key.
    """
    nonce, sealed = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
    try:
        return AESGCM(master).decrypt(nonce, sealed, _CONTEXT + tenant.encode())
    except (InvalidTag, ValueError) as error:
        raise CorralError(
            "tenant_key_unreadable",
            "a tenant's data key cannot be opened with this installation's master key",
            remedy="restore secrets/master.key and the database from the same backup",
        ) from error


def derive_key(key: bytes, purpose: bytes) -> bytes:
    """Return 32 bytes for one purpose."""
    return HKDF(SHA256(), 32, salt=None, info=purpose).derive(key)


class DataKeys:
    """The tenants' keys, unwrapped as they are needed. Not for several threads at once."""

    def __init__(self, database: Path, master: bytes) -> None:
        self._database = database
        self._master = master
        self._watch = ChangeWatch(database)
        self._keys: dict[str, bytes] = {}
        self._derived: dict[tuple[str, bytes], bytes] = {}

    def audit_key(self, tenant: TenantName) -> bytes:
        """Return the key under which a tenant's prompts are digested.

        Raises:
            CorralError: codes `tenant_key_unreadable`, `database_unsafe`, `database_unavailable`.
            sqlite3.Error, OSError: the database cannot be used.
        """
        return self._key(tenant, _AUDIT)

    def storage_key(self, tenant: TenantName) -> bytes:
        """Return the key under which a tenant's stored completions are encrypted.

        Raises:
            CorralError, sqlite3.Error, OSError: as `audit_key`.
        """
        return self._key(tenant, _STORED)

    def data_key(self, tenant: TenantName) -> bytes:
        """Return a tenant's key; one that has none yet, or was wiped, gets a new one.

        Raises:
            CorralError, sqlite3.Error, OSError: as `audit_key`.
        """
        if self._watch.changed():
            self._keys.clear()
            self._derived.clear()
        if tenant not in self._keys:
            self._keys[tenant] = self._read(tenant)
        return self._keys[tenant]

    def close(self) -> None:
        """Close the database and forget the keys."""
        self._watch.close()
        self._keys.clear()
        self._derived.clear()

    def _key(self, tenant: TenantName, purpose: bytes) -> bytes:
        data_key = self.data_key(tenant)
        if (tenant, purpose) not in self._derived:
            self._derived[tenant, purpose] = derive_key(data_key, purpose)
        return self._derived[tenant, purpose]

    def _read(self, tenant: TenantName) -> bytes:
        # A reader waits for nobody; a writer, which only a tenant without a key needs, may.
        with closing(open_reader(self._database)) as connection:
            row = connection.execute(_READ, (tenant,)).fetchone()
        if row is None:
            with closing(open_writer(self._database)) as connection:
                fresh = wrap_key(self._master, tenant, secrets.token_bytes(DATA_KEY_BYTES))
                connection.execute(_ADD, (tenant, fresh, int(time.time())))
                row = connection.execute(_READ, (tenant,)).fetchone()
        return unwrap_key(self._master, tenant, row[0])
