"""Reading the audit log: both chains as one list in the order of time, and following it.

Trust: operator side; reads only. Input: as `audit.verify`; nothing is verified here, and lines that
are no records are left out.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.audit.operator import operator_folder
from corral.audit.record import Chain, Record, parse_line
from corral.audit.segments import list_segments, open_segment, read_lines, segment_file
from corral.core.home import Home

_CHAINS: Final[tuple[Chain, ...]] = ("gateway", "operator")
_POLL_S: Final = 0.2
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


def chain_folder(home: Home, chain: Chain) -> Path:
    """Return where a chain's segments are."""
    return home.state if chain == "gateway" else operator_folder(home)


def read_records(home: Home, wanted: Wanted) -> Iterator[Record]:
    """Yield what is there, oldest first.

    Raises:
        CorralError: code `audit_unsafe`.
        OSError: a segment cannot be read.
    """
    chains = (_chain(chain_folder(home, chain), chain) for chain in _CHAINS)
    merged = heapq.merge(*chains, key=lambda record: record.at_ms)
    return (record for record in merged if wanted.admits(record))


def follow_records(home: Home, wanted: Wanted) -> Iterator[Record]:
    """Yield what is written from now on, without end.

    Raises:
        CorralError, OSError: as `read_records`.
    """
    places: dict[Chain, tuple[int, int]] = {}
    for chain in _CHAINS:
        places[chain] = _end(chain_folder(home, chain), chain)
    while True:
        for chain in _CHAINS:
            folder = chain_folder(home, chain)
            number, offset = places[chain]
            for later in [n for n in list_segments(folder, chain) if n >= number]:
                start = offset if later == number else 0
                for record, end in _from(segment_file(folder, chain, later), start):
                    places[chain] = (later, end)
                    if wanted.admits(record):
                        yield record
        time.sleep(_POLL_S)


def _chain(folder: Path, chain: Chain) -> Iterator[Record]:
    for number in list_segments(folder, chain):
        for record, _ in _from(segment_file(folder, chain, number), 0):
            yield record


def _from(path: Path, offset: int) -> Iterator[tuple[Record, int]]:
    with open_segment(path) as file:
        file.seek(offset)
        for raw in read_lines(file):
            offset += len(raw)
            record = parse_line(raw[:-1]) if raw.endswith(b"\n") else None
            if record is not None:
                yield record, offset


def _end(folder: Path, chain: Chain) -> tuple[int, int]:
    numbers = list_segments(folder, chain)
    if not numbers:
        return 1, 0
    return numbers[-1], segment_file(folder, chain, numbers[-1]).stat().st_size
