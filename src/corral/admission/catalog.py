"""The admitted models: names, digests and signed receipts.

Trust: `Catalog` runs in the gateway [net] and on the operator side and only reads; the writing
functions are the operator side's. Input: the database, which the gateway's zone can write: a row
counts only if its receipt's signature verifies and is about this very name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert

from corral.admission.lock import store_lock
from corral.admission.receipt import Receipt, verify_receipt
from corral.admission.sealing import SealedBlob
from corral.admission.store import remove_blob, store_blob
from corral.admission.trust_level import Trust
from corral.admission.trust_marks import write_trust_marks
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest, ModelName
from corral.state.change import ChangeWatch
from corral.state.connection import open_reader
from corral.state.database import open_database, reading, writing
from corral.state.tables import models

if TYPE_CHECKING:
    from corral.admission.trusted_model import Admitted

_log: Final = structlog.get_logger("corral.admission.catalog")


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One admitted model under one name; everything comes from its verified receipt."""

    name: ModelName
    digest: Digest
    size_bytes: int
    trust: Trust
    source: str
    admitted_at: datetime
    receipt: Receipt


class Catalog:
    """The admitted models in memory, read again whenever the database changed.

    Not for use by several threads at once.
    """

    def __init__(self, database: Path, public_key_pem: bytes) -> None:
        self._database = database
        self._verify = verify_receipt(public_key_pem)
        self._watch = ChangeWatch(database)
        self._entries: Mapping[str, CatalogEntry] | None = None

    def entries(self) -> Mapping[str, CatalogEntry]:
        """Return every admitted model by name.

        Raises:
            CorralError: code `database_unavailable`; the caller denies.
            sqlite3.Error: the same.
        """
        if self._watch.changed():
            self._entries = None
        if self._entries is None:
            self._entries = self._load()
        return self._entries

    def lookup(self, name: str) -> CatalogEntry | None:
        """Return the admitted model of that name, or None."""
        return self.entries().get(name)

    def close(self) -> None:
        """Let the database go."""
        self._watch.close()

    def _load(self) -> Mapping[str, CatalogEntry]:
        connection = open_reader(self._database)
        try:
            rows = connection.execute(
                "SELECT name, receipt, signature FROM models ORDER BY name"
            ).fetchall()
        finally:
            connection.close()
        found: dict[str, CatalogEntry] = {}
        for name, text, signature in rows:
            receipt = self._verify(text, signature)
            if receipt is None or receipt.name != name:
                _log.error("receipt_not_valid", model=name)
                continue
            found[name] = entry_of(receipt)
        return MappingProxyType(found)


def entry_of(receipt: Receipt) -> CatalogEntry:
    """Return the entry that a verified receipt describes."""
    return CatalogEntry(
        name=ModelName(receipt.name),
        digest=Digest(receipt.digest),
        size_bytes=receipt.size_bytes,
        trust=receipt.trust,
        source=receipt.source,
        admitted_at=datetime.fromtimestamp(receipt.admitted_at, tz=UTC),
        receipt=receipt,
    )


def add_entry(home: Home, admitted: Admitted, receipt: Receipt, sealed: SealedBlob) -> CatalogEntry:
    """Put an admitted blob into the store and its row into the catalog.

    Blob first, row second: a crash in between leaves a blob that `sweep_quarantine` removes.

    Raises:
        CorralError: codes `blob_changed`, `name_taken`, `database_unavailable`.
    """
    with store_lock(home):
        check_name(home, ModelName(receipt.name), Digest(receipt.digest))
        store_blob(home, admitted, sealed)
        put_row(home, receipt, admitted.receipt_text, admitted.signature)
        write_trust_marks(home)
    return entry_of(receipt)


def readmit_entry(home: Home, receipt: Receipt, text: str, signature: bytes) -> CatalogEntry | None:
    """Put the row of a blob that is in the store into the catalog; None if the blob has gone.

    Raises:
        CorralError: codes `name_taken`, `database_unavailable`.
    """
    with store_lock(home):
        if not home.blob(Digest(receipt.digest)).is_file():
            return None
        check_name(home, ModelName(receipt.name), Digest(receipt.digest))
        put_row(home, receipt, text, signature)
        write_trust_marks(home)
    return entry_of(receipt)


def put_row(home: Home, receipt: Receipt, text: str, signature: bytes) -> None:
    """Write the row of a receipt whose blob is in the store.

    The caller holds `store_lock` and writes the trust marks next.
    """
    row = {
        "digest": receipt.digest,
        "size_bytes": receipt.size_bytes,
        "trust": receipt.trust,
        "source": receipt.source,
        "admitted_at": receipt.admitted_at,
        "receipt": text,
        "signature": signature,
    }
    statement = insert(models).values(name=receipt.name, **row)
    with writing(open_database(home.database)) as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))


def check_name(home: Home, name: ModelName, digest: Digest) -> None:
    """Refuse a name that another file has.

    Raises:
        CorralError: code `name_taken`.
    """
    with reading(open_database(home.database)) as connection:
        found = connection.execute(
            select(models.c.digest).where(models.c.name == name)
        ).scalar_one_or_none()
    if found not in {None, digest}:
        raise CorralError(
            "name_taken",
            f"another file is admitted as {name}",
            remedy=f"choose another --name, or first: corral rm {name}",
        )


def remove_entry(home: Home, name: str) -> None:
    """Remove a model; its blob goes too unless another name uses it.

    Raises:
        CorralError: code `no_such_model`.
    """
    with store_lock(home):
        with writing(open_database(home.database)) as connection:
            digest = connection.execute(
                delete(models).where(models.c.name == name).returning(models.c.digest)
            ).scalar_one_or_none()
            if digest is None:
                raise CorralError(
                    "no_such_model",
                    "no admitted model has that name",
                    remedy="see the names with corral list",
                )
            left = connection.execute(
                select(func.count()).select_from(models).where(models.c.digest == digest)
            ).scalar_one()
        if not left:
            remove_blob(home, Digest(digest))
        write_trust_marks(home)


def admitted_digests(home: Home) -> frozenset[str]:
    """Return the digest of every row, verified or not: none of their blobs may be swept."""
    with reading(open_database(home.database)) as connection:
        return frozenset(connection.execute(select(models.c.digest)).scalars())
