"""The files of a chain: their names, their order, and how each of them ends.

Trust: gateway [net] and operator side, which reads files that the gateway's zone can write: no link
is followed, nothing but a plain file is read, and no line is read beyond its bound.

    FOLDER/audit-CHAIN-00000001.jsonl
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from corral.audit.record import LINE_BYTES, Chain, Record, name_of, parse_line
from corral.core.errors import CorralError

_NAME: Final = re.compile(r"audit-(gateway|operator)-([0-9]{8})\.jsonl")
_TAIL_BYTES: Final = 1 << 20
"""More than the writer puts down in one write."""


@dataclass(frozen=True, slots=True)
class Tail:
    """How a segment ends.

    Attributes:
        record: its last whole line; None if it has none.
        name: of that line.
        fragment_bytes: what comes after it.
        size_bytes: of the file.
    """

    record: Record | None
    name: str
    fragment_bytes: int
    size_bytes: int


def segment_file(folder: Path, chain: Chain, number: int) -> Path:
    """Return the path of one segment."""
    return folder / f"audit-{chain}-{number:08d}.jsonl"


def list_segments(folder: Path, chain: Chain) -> list[int]:
    """Return the numbers of the segments that are there, in order.

    Raises:
        OSError: the folder cannot be read.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208 - the gateway's jail has this call alone
    except FileNotFoundError:
        return []
    found = (_NAME.fullmatch(name) for name in names)
    return sorted(int(match[2]) for match in found if match and match[1] == chain)


def open_segment(path: Path) -> BinaryIO:
    """Open a segment for reading.

    Raises:
        FileNotFoundError: it is not there.
        CorralError: code `audit_unsafe`: it is no plain file.
        OSError: it cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise CorralError("audit_unsafe", "a file of the audit log is not a plain file")
    return os.fdopen(fd, "rb")


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield each line with its end; the last one, or one that is too long, may have none."""
    return iter(lambda: file.readline(LINE_BYTES), b"")


def read_tail(path: Path) -> Tail:
    """Look at a segment's end.

    Raises:
        CorralError, OSError: as `open_segment`.
    """
    with open_segment(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = max(0, size - _TAIL_BYTES)
        file.seek(start)
        raw = file.read(_TAIL_BYTES)
    end = len(raw)
    while end > 0:
        cut = raw.rfind(b"\n", 0, end)
        if cut < 0:
            break
        begin = raw.rfind(b"\n", 0, cut) + 1
        line = raw[begin:cut]
        record = parse_line(line) if begin or not start else None
        if record is not None:
            return Tail(record, name_of(line), len(raw) - cut - 1, size)
        end = begin
    return Tail(None, "", size, size)
