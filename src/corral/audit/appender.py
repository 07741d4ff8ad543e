"""Puts records behind the others: numbers, names, signs, and changes the file when it is full.

Trust: the one writer of a chain: a thread of the gateway [net], or an operator's command under a
lock. Must never leave half a batch: what cannot be written whole is cut off again. Input: records
of our own code.

A batch is one `write`; with `durable`, it is on the disk when `write` returns. What a crash leaves
half-written stays in its segment, and the next `open` says how many bytes that are.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from corral.audit.heads import Head
from corral.audit.record import Chain, Record, line_of, name_of, sealed
from corral.audit.segments import list_segments, read_tail, segment_file
from corral.core.errors import CorralError
from corral.core.limits import MIB

_replace: Final = msgspec.structs.replace
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When a segment ends, and when it goes.

    Attributes:
        segment_bytes: after which a new one is begun.
        segment_days: after which a new one is begun, too; 0 is never.
        retain_days: after which one is removed; 0 keeps all.
    """

    segment_bytes: int = 64 * MIB
    segment_days: int = 0
    retain_days: int = 0


class Appender:
    """One chain's open end. For one thread.

    Attributes:
        seq: number of the last record.
        name: of its line.
        seal: the last seal that was written, as its line; empty before the first.
    """

    def __init__(
        self, folder: Path, chain: Chain, key: Ed25519PrivateKey, rotation: Rotation, head: Head
    ) -> None:
        """Take up the chain where its files end; nothing is written yet.

        Args:
            folder: of the segments.
            chain: whose.
            key: that seals.
            rotation: bounds of a segment.
            head: the newest seal that the database knows.

        Raises:
            CorralError: code `audit_unsafe`.
            OSError: the files cannot be read.
        """
        self._folder = folder
        self._chain: Chain = chain
        self._key = key
        self._rotation = rotation
        self._head = head
        self._fd = -1
        self._opened_ms = 0
        self._size_bytes = 0
        self._lost_bytes = 0
        self.seq, self.name, self.seal = 0, "", b""
        numbers = list_segments(folder, chain)
        self._segment = numbers[-1] if numbers else 0
        self.whole = False
        for number in reversed(numbers):
            tail = read_tail(segment_file(folder, chain, number))
            self._lost_bytes += tail.fragment_bytes
            if tail.record is not None:
                self.seq, self.name = tail.record.seq, tail.name
                self.whole = self._lost_bytes == 0 and tail.record.kind == "seal"
                self._size_bytes = tail.size_bytes
                self._opened_ms = tail.record.at_ms
                break

    def resume(self) -> None:
        """Go on in the last segment, if that ends with a seal and is not full.

        Raises:
            OSError: it cannot be opened.
        """
        if self.whole and not self._full():
            self._open(os.O_APPEND)

    def write(self, records: Sequence[Record], *, durable: bool, seal: bool = False) -> None:
        """Append a batch; `chain`, `seq`, `prev` and a missing `at_ms` are filled in here.

        Args:
            records: what happened.
            durable: wait for the disk.
            seal: sign all that is there then.

        Raises:
            OSError, CorralError: nothing of the batch is in the file.
        """
        if self._fd < 0 or self._full():
            self._begin_segment("rotation" if self._fd >= 0 else "start")
        batch = [*records, Record(chain=self._chain, seq=0, prev="", at_ms=0, kind="seal")]
        self._put(batch if seal else batch[:-1], durable=durable)

    def retire(self) -> list[int]:
        """Remove the segments whose last record is too old; each is named in the chain before.

        Raises:
            OSError, CorralError: a removal could not be written down, or not be done.
        """
        if not self._rotation.retain_days:
            return []
        limit_ms = _now_ms() - self._rotation.retain_days * _DAY_MS
        gone = []
        for number in list_segments(self._folder, self._chain):
            path = segment_file(self._folder, self._chain, number)
            if number >= self._segment:
                break
            last = read_tail(path)
            if last.record is None or last.record.at_ms > limit_ms:
                break  # only from the front, so that what is left has no gap
            note = Record(
                chain=self._chain, seq=0, prev="", at_ms=0, kind="retired", segment=number,
                head_seq=last.record.seq, head=last.name,
            )  # fmt: skip
            self.write([note], durable=True, seal=True)
            path.unlink()
            gone.append(number)
        return gone

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _full(self) -> bool:
        days = self._rotation.segment_days
        old = _now_ms() - self._opened_ms >= days * _DAY_MS
        return (bool(days) and old) or self._size_bytes >= self._rotation.segment_bytes

    def _begin_segment(self, why: str) -> None:
        self.close()
        self._segment += 1
        try:
            self._open(os.O_APPEND | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            raise
        except (OSError, CorralError):
            self._segment -= 1  # no file has it: a number that is left out looks like a theft
            raise
        self._size_bytes, self._opened_ms = 0, _now_ms()
        opening = Record(
            chain=self._chain, seq=0, prev="", at_ms=0, kind="open", code=why,
            segment=self._segment, lost_bytes=self._lost_bytes,
            head_seq=self._head.seq, head=self._head.name,
        )  # fmt: skip
        try:
            self._put([opening], durable=True)  # with a new file's data goes its name
        except OSError:
            self.close()
            segment_file(self._folder, self._chain, self._segment).unlink()
            self._segment -= 1
            raise
        self._lost_bytes, self._head = 0, Head()

    def _open(self, flags: int) -> None:
        path = segment_file(self._folder, self._chain, self._segment)
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise CorralError("audit_unsafe", "a file of the audit log is not a plain file")
        self._fd = fd

    def _put(self, records: Sequence[Record], *, durable: bool) -> None:
        seq, name, seal, now = self.seq, self.name, self.seal, _now_ms()
        lines = []
        for given in records:
            seq += 1
            record = _replace(
                given, chain=self._chain, seq=seq, prev=name, at_ms=given.at_ms or now
            )
            line = line_of(sealed(record, self._key) if record.kind == "seal" else record)
            name = name_of(line)
            seal = line if record.kind == "seal" else seal
            lines.append(line + b"\n")
        raw = b"".join(lines)
        try:
            written = 0
            while written < len(raw):
                written += os.write(self._fd, raw[written:])
            if durable:
                os.fdatasync(self._fd)
        except OSError:
            self._cut_off()
            raise
        self._size_bytes += len(raw)
        self.seq, self.name, self.seal = seq, name, seal

    def _cut_off(self) -> None:
        """Undo what a failed write left, or go on in another segment if that fails too."""
        try:
            os.ftruncate(self._fd, self._size_bytes)
        except OSError:
            self.close()
            path = segment_file(self._folder, self._chain, self._segment)
            self._lost_bytes = path.stat().st_size - self._size_bytes


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
