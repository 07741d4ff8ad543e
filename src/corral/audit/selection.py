"""Records of one chain: those of a segment, those that are wanted, the newest of them.

Trust: gateway [net] and operator side; reads only. Input: as `audit.verify`; nothing is verified
here, and lines that are no records are left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from corral.audit.record import Chain, Record, parse_line
from corral.audit.segments import list_segments, open_segment, read_lines, segment_file

_LOOK_BYTES: Final = 4 << 20
_BLOCK_BYTES: Final = 256 << 10
"""More than a line may have."""
_OWN: Final = frozenset({"open", "stop", "seal", "retired"})
"""Records that are about the log itself."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records.

    Attributes:
        since_ms: Unix time of the earliest.
        tenant: only this one's; empty for all.
    """

    since_ms: int = 0
    tenant: str = ""

    def admits(self, record: Record) -> bool:
        """Return whether a record is wanted."""
        if record.at_ms < self.since_ms or record.kind in _OWN:
            return False
        return not self.tenant or record.tenant == self.tenant


def read_segment(path: Path, offset: int = 0) -> Iterator[tuple[Record, int]]:
    """Yield a segment's records, each with the offset of its end.

    Raises:
        CorralError: code `audit_unsafe`.
        OSError: it cannot be read.
    """
    with open_segment(path) as file:
        file.seek(offset)
        for raw in read_lines(file):
            offset += len(raw)
            record = parse_line(raw[:-1]) if raw.endswith(b"\n") else None
            if record is not None:
                yield record, offset


@dataclass(frozen=True, slots=True)
class Page:
    """Records of one chain, oldest first.

    Attributes:
        before: number of the oldest record that was looked at; ask `before` it for more. 0: there
            is none before it.
    """

    records: list[Record]
    before: int


def newest_records(
    folder: Path, chain: Chain, wanted: Wanted, *, limit: int, before: int = 0
) -> Page:
    """Return the newest records of one chain; looks at `_LOOK_BYTES` of it and no more.

    Args:
        folder: of its segments.
        chain: whose.
        wanted: which.
        limit: how many at most.
        before: only those with a smaller number; 0 for all.

    Raises:
        CorralError: code `audit_unsafe`.
        OSError: a segment cannot be read.
    """
    found: list[Record] = []
    oldest, left = before, _LOOK_BYTES
    for number in reversed(list_segments(folder, chain)):
        with open_segment(segment_file(folder, chain, number)) as file:
            end = _place_of(file, before) if before else file.seek(0, os.SEEK_END)
            while end and left > 0:
                lines, start = _lines_before(file, end)
                left, end = left - (end - start), start
                for line in reversed(lines):
                    record = parse_line(line)
                    if record is None:
                        continue
                    if wanted.admits(record):
                        if len(found) == limit:
                            return Page(found[::-1], oldest)
                        found.append(record)
                    oldest = record.seq
        if left <= 0 and (end or number > 1):
            return Page(found[::-1], oldest)
    return Page(found[::-1], 0)


def _lines_before(file: BinaryIO, end: int) -> tuple[list[bytes], int]:
    """Return the lines of the block before an end of a line, and where the first of them begins."""
    start = max(0, end - _BLOCK_BYTES)
    file.seek(start)
    raw = file.read(end - start)
    if start:
        cut = raw.find(b"\n") + 1
        start, raw = start + cut, raw[cut:]
        if not raw or not cut:  # no line is so long: whoever wrote this, it is passed over
            return [], end - _BLOCK_BYTES
    return raw.split(b"\n"), start


def _place_of(file: BinaryIO, seq: int) -> int:
    """Return where the first record with this number or a greater one begins, by halving."""
    low, high = 0, file.seek(0, os.SEEK_END)
    while low < high:
        middle = (low + high) // 2
        file.seek(max(0, middle - 1))
        if middle:
            file.readline()  # to the first line that begins here or later
        record = None
        while record is None and (line := file.readline()):
            record = parse_line(line.removesuffix(b"\n"))
        if record is None or record.seq >= seq:
            high = middle
        else:
            low = file.tell()
    return low
