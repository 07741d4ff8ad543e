"""Fetch what is missing of a large file by several connections side by side, and hash it in order.

Trust: fetch jail. Input: untrusted bodies. A server may answer each range from another version or
send other lengths: each answer must be exactly the range that was asked for, under the same strong
ETag (If-Range, RFC 9110 section 13.1.5). Where one is not, the whole attempt ends and a single
stream goes on from the first gap; the digest over the whole file decides in any case.

    lanes     take the next segment, fetch what is missing of it, write it to its place
    this one  hashes what is complete from the start, notes what is there, tells the progress
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable
from typing import BinaryIO, Final

from corral.admission.fetch.partial import Partial, contiguous
from corral.admission.fetch.room import check_still_room, disk_errors
from corral.admission.fetch.web import Web, check_status
from corral.core.errors import CorralError
from corral.core.limits import MIB

_TRIES: Final = 3
_NOTE_S: Final = 2.0
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")

Moved = Callable[[int, int, int], None]
"""Gets (bytes done, bytes in all or 0, bytes that are final from the start of the model file)."""


def segments_of(prefix: int, total: int, segment_bytes: int) -> list[int]:
    """Return what there is of each segment of a file of which there is a beginning."""
    starts = range(0, total, segment_bytes)
    return [max(0, min(segment_bytes, prefix - start)) for start in starts]


def parse_content_range(text: str) -> tuple[int, int, int] | None:
    """Return first byte, last byte and length of the whole, or None where it is no range."""
    found = _CONTENT_RANGE.fullmatch(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


class RangedFetch:
    """One run of lanes over one file.

    Args:
        url: where the redirects of the first request led; each range is asked for there.
        etag: strong, of the version that is fetched.
        got: of each segment, what is there.
        note: keeps `got` for the next run.
    """

    def __init__(
        self, web: Web, partial: Partial, *, url: str, etag: str, total: int, got: list[int],
        segment_bytes: int, note: Callable[[list[int]], None],
    ) -> None:  # fmt: skip
        self._web, self._partial, self._url, self._etag = web, partial, url, etag
        self._total, self._segment_bytes, self._note = total, segment_bytes, note
        self._whole = segments_of(total, total, segment_bytes)
        self._got = [min(pair) for pair in zip(got, self._whole, strict=True)]
        self._changed = threading.Condition()
        self._next = 0
        self._failure: CorralError | None = None
        self._ended = False

    def run(self, lanes: int, moved: Moved) -> str:
        """Fetch all that is missing and return the sha256 of the whole.

        Raises:
            CorralError: of the first lane that gave up; `no_space`. No lane runs any more, and
                what is there is noted.
        """
        with self._partial.part.open("ab"):
            pass
        self._partial.cut(self._total)
        with disk_errors():
            self._note([*self._got])
        threads = [threading.Thread(target=self._lane, daemon=True) for _ in range(lanes)]
        for thread in threads:
            thread.start()
        try:
            return self._hash_in_order(moved)
        finally:
            self._ended = True
            for thread in threads:
                thread.join()
            self._keep()

    def _hash_in_order(self, moved: Moved) -> str:
        hasher, done, noted_s = hashlib.sha256(), 0, time.monotonic()
        with self._partial.part.open("rb", buffering=0) as file:
            while True:
                with self._changed:
                    ready = self._ready()
                    if ready == done and self._failure is None and done < self._total:
                        self._changed.wait(0.2)
                        ready = self._ready()
                while (
                    done < ready
                    and self._failure is None
                    and (chunk := file.read(min(MIB, ready - done)))
                ):
                    hasher.update(chunk)
                    done += len(chunk)
                    moved(sum(self._got), self._total, ready)
                if self._failure is not None:
                    raise self._failure
                if done >= self._total:
                    return hasher.hexdigest()
                if done < ready:
                    raise CorralError("network_error", "the partial file changed")
                moved(sum(self._got), self._total, ready)
                if time.monotonic() - noted_s > _NOTE_S:
                    self._keep()
                    noted_s = time.monotonic()

    def _ready(self) -> int:
        return contiguous(self._got, self._segment_bytes)

    def _keep(self) -> None:
        """Note what is there; it is on the disk before the note says so."""
        got = [*self._got]
        with disk_errors(), self._partial.part.open("rb") as file:
            os.fsync(file.fileno())
            self._note(got)

    def _lane(self) -> None:
        try:
            with self._web.twin() as web, self._partial.part.open("r+b", buffering=0) as file:
                while (index := self._take()) is not None:
                    self._segment(web, file, index)
        except Exception as error:  # a lane that dies silently would be waited for for ever
            failure = (
                error
                if isinstance(error, CorralError)
                else CorralError("fetch_failed", "the fetch job failed")
            )
            with self._changed:
                self._failure = self._failure or failure
                self._changed.notify()

    def _take(self) -> int | None:
        with self._changed:
            while self._next < len(self._got) and not self._ended and self._failure is None:
                index, self._next = self._next, self._next + 1
                if self._got[index] < self._whole[index]:
                    return index
        return None

    def _segment(self, web: Web, file: BinaryIO, index: int) -> None:
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                self._range(web, file, index)
            except CorralError as error:
                if last or error.code != "network_error":
                    raise
            if self._got[index] == self._whole[index] or self._ended:
                return
        raise CorralError("network_error", "the connection ended before the range did")

    def _range(self, web: Web, file: BinaryIO, index: int) -> None:
        start = index * self._segment_bytes
        at, end = start + self._got[index], start + self._whole[index]
        headers = {"range": f"bytes={at}-{end - 1}", "if-range": self._etag}
        with web.get(self._url, headers) as answer:
            if answer.status != 206:
                check_status(answer.status)
                raise CorralError("http_error", "the server sent the whole file for a range")
            said = parse_content_range(answer.headers.get("content-range", ""))
            if said != (at, end - 1, self._total):
                raise CorralError("http_error", "the server sent another range than asked")
            check_still_room(self._partial.target.parent)
            file.seek(at)
            for chunk in answer.chunks():
                at += len(chunk)
                if at > end:
                    raise CorralError("http_error", "the server sends more than it announced")
                with disk_errors():
                    write_all(file, chunk)
                with self._changed:
                    self._got[index] += len(chunk)
                    self._changed.notify()
                if self._ended or self._failure is not None:
                    return


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write without a buffer, so that what is counted is in the file."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
