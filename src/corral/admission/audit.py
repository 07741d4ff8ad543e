"""Do the receipts, the blobs and the journal of admission say the same?

Trust: operator side; reads only. Input: rows of the catalog, which the gateway's zone can write;
a journal and blobs that only the operator's uid should have written. Content is not hashed here:
that is `corral fsck`.

    1 journal   each line signed by this installation, and behind the one that it names
    2 receipts  each signed, about its own row, and in the journal
    3 blobs     there, regular, of the size that the receipt has
    4 absence   what the journal has admitted and not removed is in the catalog
"""

from __future__ import annotations

import hashlib
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Literal

from corral.admission.journal import Entry, JournalLine, read_journal
from corral.admission.receipt import Receipt, ReceiptFault, read_receipt
from corral.admission.trust_marks import held_blobs
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from corral.state.connection import open_reader, unavailable

Kind = Literal[
    "journal_form", "journal_signature", "journal_chain", "receipt_invalid", "receipt_outdated",
    "not_in_journal", "blob_missing", "blob_size", "not_in_catalog",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One thing that does not fit.

    Attributes:
        where: name of a model, or line of the journal.
    """

    kind: Kind
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class SignedRow:
    """A row of the catalog.

    Attributes:
        name: as the row has it; untrusted.
        sha256: of the receipt's text.
        receipt: or why it does not count.
    """

    name: str
    sha256: str
    receipt: Receipt | ReceiptFault


@dataclass(frozen=True, slots=True)
class Audit:
    """What was compared.

    Attributes:
        lines: of the journal.
        receipts: of the catalog.
    """

    lines: int
    receipts: int
    discrepancies: tuple[Discrepancy, ...]


def list_admissions(home: Home) -> list[Entry]:
    """Return what the journal has, and receipts of before there was one, in the order of time.

    Lines that are not signed by this installation are left out: `verify_admissions` tells of them.

    Raises:
        CorralError: codes `receipt_key_missing`, `receipt_key_unreadable`,
            `database_unavailable`.
        OSError: the journal cannot be read.
    """
    rows = signed_rows(home)
    found = [line.entry for line in read_journal(home) if line.entry is not None]
    noted = {entry.receipt_sha256 for entry in found}
    for row in rows:
        receipt = row.receipt
        if isinstance(receipt, Receipt) and row.sha256 not in noted:
            found.append(Entry(
                at=receipt.admitted_at,
                what="admitted",
                how="store" if receipt.readmitted_from_store else "pull",
                name=receipt.name,
                sha256=receipt.digest,
                source=receipt.source,
                trust=receipt.trust,
                outcome=receipt.decision.outcome,
                signers=tuple(f"{one.kind} {one.fingerprint}" for one in receipt.signers),
                receipt_sha256=row.sha256,
            ))  # fmt: skip
    return sorted(found, key=lambda entry: entry.at)


def verify_admissions(home: Home) -> Audit:
    """Compare everything.

    Raises:
        CorralError, OSError: as `list_admissions`.
    """
    rows = signed_rows(home)
    lines = list(read_journal(home))
    found = [*_lines(lines), *_rows(home, rows, lines), *_absent(rows, lines)]
    return Audit(len(lines), len(rows), tuple(found))


def signed_rows(home: Home) -> list[SignedRow]:
    """Return the rows of the catalog, those that do not count too.

    Raises:
        CorralError: codes `receipt_key_missing`, `receipt_key_unreadable`,
            `database_unavailable`.
    """
    try:
        read = read_receipt(home.receipt_public_key.read_bytes())
    except FileNotFoundError as error:
        raise CorralError(
            "receipt_key_missing", "the key that verifies admission receipts is gone"
        ) from error
    try:
        with closing(open_reader(home.database)) as connection:
            raw = connection.execute(
                "SELECT name, receipt, signature FROM models ORDER BY name"
            ).fetchall()
    except sqlite3.Error as error:
        raise unavailable() from error
    found = []
    for name, text, signature in raw:
        receipt = read(text, signature)
        if isinstance(receipt, Receipt) and receipt.name != name:
            receipt = "receipt_invalid"
        found.append(SignedRow(name, hashlib.sha256(text.encode()).hexdigest(), receipt))
    return found


_FAULTS: dict[str, str] = {
    "journal_form": "the line is no entry: it was half-written, or changed",
    "journal_signature": "the line is not signed by this installation",
    "journal_chain": "the line before it is not the one that it was written behind",
    "receipt_invalid": "the receipt does not verify, or is about another name",
    "receipt_outdated": "the receipt is signed, but of a form that this version does not read",
}


def _lines(lines: list[JournalLine]) -> Iterator[Discrepancy]:
    for line in lines:
        if line.fault:
            yield Discrepancy(line.fault, f"line {line.number}", _FAULTS[line.fault])


def _rows(home: Home, rows: list[SignedRow], lines: list[JournalLine]) -> Iterator[Discrepancy]:
    entries = [line.entry for line in lines if line.entry is not None]
    noted = {entry.receipt_sha256 for entry in entries}
    since = min((entry.at for entry in entries), default=None)
    for row in rows:
        receipt = row.receipt
        if not isinstance(receipt, Receipt):
            yield Discrepancy(receipt, row.name, _FAULTS[receipt])
            continue
        if row.sha256 not in noted and since is not None and receipt.admitted_at >= since:
            message = "the admission is not in the journal, which is older than it"
            yield Discrepancy("not_in_journal", row.name, message)
        yield from _blobs(home, receipt)


def _blobs(home: Home, receipt: Receipt) -> Iterator[Discrepancy]:
    for digest, size_bytes in receipt.blobs:
        yield from _blob(home, receipt.name, digest, size_bytes)


def _blob(home: Home, name: str, digest: str, size_bytes: int) -> Iterator[Discrepancy]:
    for place in (home.blob(Digest(digest)), held_blobs(home) / digest):
        with suppress(OSError):
            facts = place.lstat()
            if not stat.S_ISREG(facts.st_mode):
                continue
            if facts.st_size != size_bytes:
                message = f"its file has {facts.st_size} bytes, not {size_bytes}"
                yield Discrepancy("blob_size", name, message)
            return
    yield Discrepancy("blob_missing", name, "its file is not in the store")


def _absent(rows: list[SignedRow], lines: list[JournalLine]) -> Iterator[Discrepancy]:
    there = {row.name for row in rows}
    last: dict[str, Entry] = {}
    for line in lines:
        if line.entry is not None and line.entry.what in {"admitted", "decided", "removed"}:
            last[line.entry.name] = line.entry
    for name, entry in last.items():
        if entry.what != "removed" and name not in there:
            message = "the journal has it admitted and never removed, and it is not there"
            yield Discrepancy("not_in_catalog", name, message)
