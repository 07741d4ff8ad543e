"""The admitted models: names, digests and signed receipts.

Trust: gateway [net] and operator side; only reads (`admission.catalog_changes` writes, so that the
gateway needs no SQLAlchemy). Input: the database, which the gateway's zone can write: a row counts
only if its receipt's signature verifies and is about this very name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from corral.admission.receipt import Receipt, ReceiptFault, read_receipt
from corral.admission.trust_level import Trust
from corral.core.ids import Digest, ModelName
from corral.state.change import ChangeWatch
from corral.state.connection import open_reader


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

    @property
    def identity(self) -> str:
        """What names the artifact; two that differ in anything that is served have two."""
        return self.receipt.identity

    @property
    def held(self) -> bool:
        """The policy holds it back: nobody may use it."""
        return self.receipt.decision.outcome == "hold"


class Catalog:
    """The admitted models in memory, read again whenever the database changed.

    What the policy holds back is not among the models: nobody may use it. Not for use by several
    threads at once.
    """

    def __init__(
        self, database: Path, public_key_pem: bytes,
        *, note: Callable[[str, ReceiptFault], None] | None = None,
    ) -> None:  # fmt: skip
        """Open the catalog.

        Args:
            database: the installation's.
            public_key_pem: verifies receipts.
            note: told, at each reading, the name and the fault of a row that does not count.
        """
        self._database = database
        self._note = note
        self._read = read_receipt(public_key_pem)
        self._watch = ChangeWatch(database)
        self._entries: Mapping[str, CatalogEntry] | None = None
        self._held: Mapping[str, CatalogEntry] = MappingProxyType({})
        self._faults: Mapping[str, ReceiptFault] = MappingProxyType({})

    def entries(self) -> Mapping[str, CatalogEntry]:
        """Return every model that may be used, by name.

        Raises:
            CorralError: code `database_unavailable`; the caller denies.
            sqlite3.Error: the same.
        """
        if self._watch.changed():
            self._entries = None
        if self._entries is None:
            self._entries, self._held = self._load()
        return self._entries

    def held(self) -> Mapping[str, CatalogEntry]:
        """Return the models that the policy holds back; raises as `entries`."""
        self.entries()
        return self._held

    def lookup(self, name: str) -> CatalogEntry | None:
        """Return the admitted model of that name, or None."""
        return self.entries().get(name)

    def faults(self) -> Mapping[str, ReceiptFault]:
        """Return, by name, why rows that `entries` leaves out do not count.

        Names are those of the database, which the gateway's zone can write.

        Raises:
            CorralError, sqlite3.Error: as `entries`.
        """
        self.entries()
        return self._faults

    def close(self) -> None:
        """Let the database go."""
        self._watch.close()

    def _load(self) -> tuple[Mapping[str, CatalogEntry], Mapping[str, CatalogEntry]]:
        connection = open_reader(self._database)
        try:
            rows = connection.execute(
                "SELECT name, receipt, signature FROM models ORDER BY name"
            ).fetchall()
        finally:
            connection.close()
        found: dict[str, CatalogEntry] = {}
        held: dict[str, CatalogEntry] = {}
        faults: dict[str, ReceiptFault] = {}
        for name, text, signature in rows:
            receipt = self._read(text, signature)
            if isinstance(receipt, Receipt) and receipt.name == name:
                entry = entry_of(receipt)
                place = held if entry.held else found
                place[name] = entry
                continue
            faults[name] = "receipt_invalid" if isinstance(receipt, Receipt) else receipt
            if self._note:
                self._note(name, faults[name])
        self._faults = MappingProxyType(faults)
        return MappingProxyType(found), MappingProxyType(held)


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
