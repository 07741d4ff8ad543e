"""Is an audit chain whole: nothing edited, taken out, put in, moved or cut off?

Trust: operator side; reads only. Input: files and rows that somebody may have changed, and that the
gateway's zone can write.

    1 form       each line is a record in its one form; a fragment where an `open` owns up to it
    2 chain      each line has the next number and names the line before it, over all segments
    3 seals      each is signed by the chain's key
    4 segments   no number is missing but those that were retired, the last line of each named
    5 heads      what was seen of the chain elsewhere is in it: in the database, by an `open`, in
                 the operator's chain

Lines after the last seal are not signed: of a running server those of about the last second; after
a crash those that it had no time to sign. That is told and is no fault. Whoever can change the
files at just that time can change these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from corral.audit.heads import Head
from corral.audit.record import Chain, Record, name_of, parse_line, seal_holds
from corral.audit.segments import list_segments, open_segment, read_lines, segment_file

FaultKind = Literal[
    "audit_form", "audit_chain", "audit_signature", "audit_segment_missing", "audit_truncated",
    "audit_head",
]  # fmt: skip


_SEALS: Final = 4096
"""Names of seals kept in memory, for what an `open` says that the database had."""
_SEALS_UNSEEN: Final = 2
"""Seals that may be there before the database has the first."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        where: segment and line, or where else it was seen.
    """

    kind: FaultKind
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Where a process ended without having signed its last records; no fault.

    Attributes:
        first: number of the first record without a signature of its time.
        last: of the last one; less than `first` if there is none.
        lost_bytes: of a record that was not written whole.
    """

    first: int
    last: int
    lost_bytes: int


@dataclass(slots=True)
class ChainReport:
    """What was found.

    Attributes:
        first: number of the first record that is there.
        last: of the last one; 0 if there is none.
        sealed: of the last seal that holds.
        gaps: unclean ends, in order; the last may be that of a running server.
        seen: lines of other chains that this one names: their number and name.
    """

    chain: Chain
    first: int = 0
    last: int = 0
    sealed: int = 0
    gaps: list[Gap] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    seen: list[Head] = field(default_factory=list)


def verify_chain(
    folder: Path,
    chain: Chain,
    key: Ed25519PublicKey,
    head: Head,
    seen: Iterable[Head] = (),
) -> ChainReport:
    """Check one chain.

    Args:
        folder: of its segments.
        chain: whose.
        key: that its seals verify with.
        head: the database's newest seal, read before this call.
        seen: seals that the operator's chain names.

    Raises:
        CorralError: code `audit_unsafe`: a segment is no plain file.
        OSError: a segment cannot be read.
    """
    elsewhere = tuple(seen)
    walk = _Walk(ChainReport(chain), key, {one.seq for one in (head, *elsewhere)})
    numbers = list_segments(folder, chain)
    for number in numbers:
        with open_segment(segment_file(folder, chain, number)) as file:
            walk.segment(number, read_lines(file))
    walk.finish(numbers, head, elsewhere)
    return walk.report


class _Walk:
    """The state of a walk over the lines of a chain."""

    def __init__(self, report: ChainReport, key: Ed25519PublicKey, wanted: set[int]) -> None:
        self.report = report
        self._key = key
        self._wanted = wanted
        self._names: dict[int, str] = {}
        self._seals: dict[int, str] = {}
        self._last: list[Record] = []
        self._name = ""
        self._segment = 0
        self._unsealed_from = 0
        self._fragment_bytes = 0
        self._retired: dict[int, Record] = {}
        self._front: Record | None = None

    def segment(self, number: int, lines: Iterator[bytes]) -> None:
        """Take one segment; they come in order."""
        if self._segment and number != self._segment + 1:
            self._fault("audit_segment_missing", f"segment {number}", "the one before it is gone")
        self._segment = number
        for index, raw in enumerate(lines, 1):
            where = f"segment {number}, line {index}"
            record = parse_line(raw[:-1]) if raw.endswith(b"\n") else None
            if record is None:
                self._fragment_bytes += len(raw)
                continue
            if index > 1 and self._fragment_bytes:
                self._fault("audit_form", where, "before it is what is no record: it was changed")
                self._fragment_bytes = 0
            self._place(record, where, opening=index == 1)
            self._take(record, number, where)
            self._name = name_of(raw[:-1])
            self._last = [*self._last[-1:], record]
            self.report.last = record.seq
            if record.kind == "seal":
                self._seals[record.seq] = self._name
                if len(self._seals) > _SEALS:
                    del self._seals[next(iter(self._seals))]
            if record.seq in self._wanted:
                self._names[record.seq] = self._name

    def finish(self, numbers: list[int], head: Head, seen: Iterable[Head]) -> None:
        """Look at both ends of the chain, and at what was seen of it elsewhere."""
        report = self.report
        if self._unclean():
            self._gap(self._fragment_bytes)
        if numbers and self._front is not None:
            self._check_front(numbers[0], self._front)
        record = parse_line(head.line) if head.line else None
        if record is not None and record.kind == "seal" and record.chain == report.chain:
            if seal_holds(record, self._key):
                self._check_seen(head, "the database")
            else:
                self._fault("audit_head", "the database", "its seal is not signed by this key")
        elif head.line:
            self._fault("audit_head", "the database", "what it has as newest seal is none")
        elif len(self._seals) > _SEALS_UNSEEN:
            self._fault("audit_head", "the database", "it has no seal of this chain any more")
        for one in seen:
            self._check_seen(one, "the operator's chain")

    def _place(self, record: Record, where: str, *, opening: bool) -> None:
        if (record.kind == "open") != opening or record.chain != self.report.chain:
            self._fault("audit_chain", where, "the record does not belong at this place")
        if self._front is None:
            self._front, self.report.first = record, record.seq
        elif (record.seq, record.prev) != (self.report.last + 1, self._name):
            self._fault("audit_chain", where, "the line before it is not the one it came after")

    def _take(self, record: Record, number: int, where: str) -> None:
        if record.kind == "open":
            self._open(record, number, where)
        elif record.kind == "retired":
            self._retired[record.segment] = record
        elif record.kind == "begin" and record.head_seq:
            self.report.seen.append(Head(record.head_seq, record.head))
        if record.kind != "seal":
            self._unsealed_from = self._unsealed_from or record.seq
        elif seal_holds(record, self._key):
            self.report.sealed, self._unsealed_from = record.seq, 0
        else:
            self._fault("audit_signature", where, "the seal is not signed by this chain's key")

    def _open(self, record: Record, number: int, where: str) -> None:
        if record.segment != number:
            self._fault("audit_chain", where, "the file has another segment's number")
        if record is not self._front and record.lost_bytes != self._fragment_bytes:
            found, said = self._fragment_bytes, record.lost_bytes
            message = (
                f"before it are {found} bytes that are no record, and {said} were when it began"
            )
            self._fault("audit_form", where, message)
        if record is not self._front and record.code != "rotation" and self._unclean():
            self._gap(record.lost_bytes)
            self._unsealed_from = 0
        self._fragment_bytes = 0
        if record.head_seq > self.report.last and record is not self._front:
            self._truncated(record.head_seq, f"the database, at the beginning of segment {number}")
        elif record.head_seq in self._seals and self._seals[record.head_seq] != record.head:
            self._fault("audit_chain", where, "the database had another line of this number")

    def _unclean(self) -> bool:
        if not self._last:
            return self._fragment_bytes > 0
        ordered = [record.kind for record in self._last] == ["stop", "seal"]
        unordered = self.report.chain == "gateway" and not ordered
        return bool(self._unsealed_from or self._fragment_bytes) or unordered

    def _gap(self, lost_bytes: int) -> None:
        last = self.report.last
        self.report.gaps.append(Gap(self._unsealed_from or last + 1, last, lost_bytes))

    def _check_front(self, number: int, front: Record) -> None:
        if number == 1:
            if (front.seq, front.prev) != (1, ""):
                self._fault("audit_chain", "segment 1", "it does not begin with the first record")
            return
        note = self._retired.get(number - 1)
        if note is None or note.seq > self.report.sealed:
            message = "the segments before it are gone, and were not retired"
            self._fault("audit_segment_missing", f"segment {number}", message)
        elif (note.head_seq, note.head) != (front.seq - 1, front.prev):
            message = "it does not follow the line that was retired before it"
            self._fault("audit_chain", f"segment {number}", message)

    def _check_seen(self, one: Head, where: str) -> None:
        if one.seq > self.report.last:
            self._truncated(one.seq, where)
        elif one.seq >= self.report.first and self._names.get(one.seq) != one.name:
            self._fault("audit_chain", where, f"it has seen another line of the number {one.seq}")

    def _truncated(self, seq: int, where: str) -> None:
        message = f"it has seen record {seq}, and the files end with {self.report.last}"
        self._fault("audit_truncated", where, message)

    def _fault(self, kind: FaultKind, where: str, message: str) -> None:
        self.report.faults.append(Fault(kind, where, message))
