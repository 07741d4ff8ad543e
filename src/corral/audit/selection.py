"""Records of one chain: those of a segment, those that are wanted, the newest of them.

Trust: gateway [net] and operator side; reads only. Input: as `audit.verify`; nothing is verified
here, and lines that are no records are left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.audit.record import Chain, Record, parse_line
from corral.audit.segments import list_segments, open_segment, read_lines, segment_file

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


def newest_records(
    folder: Path, chain: Chain, wanted: Wanted, *, limit: int, before: int = 0
) -> list[Record]:
    """Return the newest records of one chain, oldest first.

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
    for number in reversed(list_segments(folder, chain)):
        newer = found
        earlier = (
            record
            for record, _ in read_segment(segment_file(folder, chain, number), 0)
            if wanted.admits(record) and (not before or record.seq < before)
        )
        found = [*deque(earlier, limit - len(newer)), *newer]
        if len(found) >= limit:
            break
    return found
