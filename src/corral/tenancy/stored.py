"""Completions that a tenant asked to have stored: encrypted under its data key, capped, forgotten.

Trust: gateway [net]. Input: texts of a tenant and of its model; rows of the database, which the
gateway's zone can write.

Each part of a completion is AES-256-GCM under a key that is derived from the tenant's data key,
with a random nonce of 96 bits. The associated data is format, part, tenant, id and time, so that a
row that was changed, or put in another's place, is refused. Destroying the data key destroys them.

Of another tenant's id the same is asked of the database as of one that never was: tenant and id are
one key.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.state.connection import open_reader, open_writer, unavailable
from corral.tenancy.quota import STORED_DAYS

PAGE_BYTES: Final = 4 << 20
"""A page of a list ends early where its answers are longer than this together."""
_NONCE_BYTES: Final = 12
_CONTEXT: Final = "corral stored completion v1"
_DAY_MS: Final = 86_400_000

_HELD: Final = """
SELECT count(*), coalesce(sum(length(answer) + length(messages)), 0)
FROM stored_completions WHERE tenant = ?
"""
_PUT: Final = """
INSERT INTO stored_completions (tenant, id, created_ms, answer, messages)
SELECT name, ?, ?, ?, ? FROM tenants
WHERE name = ? AND frozen_at IS NULL AND removed_at IS NULL
"""
_FIND: Final = {
    "answer": "SELECT created_ms, answer FROM stored_completions"
    " WHERE tenant = ? AND id = ? AND created_ms >= ?",
    "messages": "SELECT created_ms, messages FROM stored_completions"
    " WHERE tenant = ? AND id = ? AND created_ms >= ?",
}
_LIST: Final = {
    "asc": "SELECT id, created_ms, answer FROM stored_completions"
    " WHERE tenant = ? AND created_ms >= ? AND (created_ms, id) > (?, ?) ORDER BY created_ms, id",
    "desc": "SELECT id, created_ms, answer FROM stored_completions"
    " WHERE tenant = ? AND created_ms >= ? AND (created_ms, id) < (?, ?)"
    " ORDER BY created_ms DESC, id DESC",
}
_DELETE: Final = "DELETE FROM stored_completions WHERE tenant = ? AND id = ? AND created_ms >= ?"
_FORGET: Final = "DELETE FROM stored_completions WHERE tenant = ? AND created_ms < ?"
_FORGET_ALL: Final = """
DELETE FROM stored_completions WHERE created_ms < ?1 - 86400000 * coalesce((
    SELECT value FROM quotas WHERE tenant = stored_completions.tenant
    AND key_id = 0 AND model = '' AND name = 'stored_days'
), ?2)
"""
_ENDS: Final = {"asc": (-1, ""), "desc": (1 << 62, "")}

Part = Literal["answer", "messages"]
Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class Shelf:
    """One tenant's stored completions, and what of them there may be.

    Attributes:
        count_max: completions; 0: nothing is stored.
        bytes_max: of all of them together, as stored.
        days: after which one is not to be had any more.
    """

    database: Path
    tenant: TenantName
    count_max: int
    bytes_max: int
    days: int

    def has_room(self) -> bool:
        """Return whether one more could be stored.

        Raises:
            CorralError: code `database_unavailable`.
        """
        with _using(self.database, open_reader) as connection:
            count, size_bytes = connection.execute(_HELD, (self.tenant,)).fetchone()
        return bool(count < self.count_max and size_bytes < self.bytes_max)

    def put(self, key: bytes, completion_id: str, answer: bytes, messages: bytes) -> None:
        """Encrypt and store one.

        Raises:
            CorralError: codes `storage_full`, `storage_refused` (the tenant is frozen or gone),
                `database_unavailable`.
        """
        now_ms = time.time_ns() // 1_000_000
        sealed = [
            seal_part(key, self._about(part, completion_id, now_ms), text)
            for part, text in (("answer", answer), ("messages", messages))
        ]
        with _using(self.database, open_writer) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_FORGET, (self.tenant, self._oldest_ms()))
            count, size_bytes = connection.execute(_HELD, (self.tenant,)).fetchone()
            size_bytes += sum(len(one) for one in sealed)
            if count >= self.count_max or size_bytes > self.bytes_max:
                connection.execute("COMMIT")
                raise CorralError("storage_full", "as much is stored as this tenant may store")
            row = (completion_id, now_ms, *sealed, self.tenant)
            stored = connection.execute(_PUT, row).rowcount
            connection.execute("COMMIT")
        if not stored:
            raise CorralError("storage_refused", "nothing is stored for this tenant now")

    def find(self, key: bytes, completion_id: str, part: Part) -> bytes | None:
        """Return a part of one; None if this tenant has none of this id.

        Raises:
            CorralError: codes `stored_unreadable`, `database_unavailable`.
        """
        with _using(self.database, open_reader) as connection:
            asked = (self.tenant, completion_id, self._oldest_ms())
            row = connection.execute(_FIND[part], asked).fetchone()
        if row is None:
            return None
        return open_part(key, self._about(part, completion_id, row[0]), row[1])

    def page(
        self,
        key: bytes,
        *,
        after: str,
        order: Order,
        limit: int,
        wanted: Callable[[bytes], bool],
    ) -> tuple[list[bytes], bool] | None:
        """Return answers in the order of their time, and whether there are more.

        Args:
            key: of the tenant.
            after: id of the one before the first; empty for the beginning.
            order: of time.
            limit: longest page.
            wanted: whether an answer belongs to the list.

        Returns:
            None if there is no `after`.

        Raises:
            CorralError: codes `stored_unreadable`, `database_unavailable`.
        """
        found: list[bytes] = []
        size_bytes = 0
        oldest_ms = self._oldest_ms()
        with _using(self.database, open_reader) as connection:
            start = _ENDS[order]
            if after:
                row = connection.execute(
                    _FIND["answer"], (self.tenant, after, oldest_ms)
                ).fetchone()
                if row is None:
                    return None
                start = (row[0], after)
            rows = connection.execute(_LIST[order], (self.tenant, oldest_ms, *start))
            for completion_id, created_ms, sealed in rows:
                answer = open_part(key, self._about("answer", completion_id, created_ms), sealed)
                if not wanted(answer):
                    continue
                if len(found) == limit or (found and size_bytes + len(answer) > PAGE_BYTES):
                    return found, True
                found.append(answer)
                size_bytes += len(answer)
        return found, False

    def delete(self, completion_id: str) -> bool:
        """Delete one; return False if this tenant has none of this id.

        Raises:
            CorralError: code `database_unavailable`.
        """
        with _using(self.database, open_writer) as connection:
            asked = (self.tenant, completion_id, self._oldest_ms())
            return connection.execute(_DELETE, asked).rowcount > 0

    def _oldest_ms(self) -> int:
        return time.time_ns() // 1_000_000 - self.days * _DAY_MS

    def _about(self, part: str, completion_id: str, created_ms: int) -> bytes:
        return "\n".join((_CONTEXT, part, self.tenant, completion_id, str(created_ms))).encode()


def forget_old(database: Path) -> None:
    """Delete every tenant's completions that are older than it keeps them.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with _using(database, open_writer) as connection:
        connection.execute(_FORGET_ALL, (time.time_ns() // 1_000_000, STORED_DAYS))


def seal_part(key: bytes, about: bytes, text: bytes) -> bytes:
    """Return nonce and AES-256-GCM of a text; `about` is authenticated and not in it."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, about)


def open_part(key: bytes, about: bytes, sealed: bytes) -> bytes:
    """Return a text.

    Raises:
        CorralError: code `stored_unreadable`: it was changed, is another's, or of another key.
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about)
    except (InvalidTag, ValueError) as error:
        raise CorralError(
            "stored_unreadable", "a stored completion was changed, or its key is gone"
        ) from error


@contextmanager
def _using(
    database: Path, opened: Callable[[Path], sqlite3.Connection]
) -> Iterator[sqlite3.Connection]:
    try:
        with closing(opened(database)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise unavailable() from error
