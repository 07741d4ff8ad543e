"""Reading the audit log: both chains as one list in the order of time, and following it.

Trust: operator side; reads only. Input: as `audit.verify`; nothing is verified
here, and lines that are no records are left out.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from corral.audit.operator import operator_folder
from corral.audit.record import Chain, Record
from corral.audit.segments import list_segments, segment_file
from corral.audit.selection import Wanted, read_segment
from corral.core.home import Home

_CHAINS: Final[tuple[Chain, ...]] = ("gateway", "operator")
_POLL_S: Final = 0.2


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
                for record, end in read_segment(segment_file(folder, chain, later), start):
                    places[chain] = (later, end)
                    if wanted.admits(record):
                        yield record
        time.sleep(_POLL_S)


def _chain(folder: Path, chain: Chain) -> Iterator[Record]:
    for number in list_segments(folder, chain):
        for record, _ in read_segment(segment_file(folder, chain, number), 0):
            yield record


def _end(folder: Path, chain: Chain) -> tuple[int, int]:
    numbers = list_segments(folder, chain)
    if not numbers:
        return 1, 0
    return numbers[-1], segment_file(folder, chain, numbers[-1]).stat().st_size
