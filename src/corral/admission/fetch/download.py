"""Stream one URL into one file: resumed, size-capped, hashed, verified before the rename.

Trust: fetch jail. Input: untrusted body of unknown length; nothing but the running hash is kept.

    1 look what an earlier run of the same source left (`fetch.partial`)
    2 ask for the rest with Range and If-Range; a server that changed the file sends all of it
    3 write and hash each chunk, never past the size cap; a large file whose server has strong
      ETags and ranges is fetched by several connections (`fetch.ranges`)
    4 compare the digest; a mismatch deletes the file
    5 fsync, rename NAME.part to NAME
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.admission.fetch.partial import SEGMENT_BYTES, Partial, Saved
from corral.admission.fetch.ranges import (
    Moved,
    RangedFetch,
    parse_content_range,
    segments_of,
    write_all,
)
from corral.admission.fetch.room import check_room, check_still_room, disk_errors
from corral.admission.fetch.web import Answer, Web, check_status
from corral.admission.source import shown_url
from corral.core.errors import CorralError
from corral.core.limits import MIB

_ATTEMPTS: Final = 4
_LOOK_BYTES: Final = 16 * MIB
"""So often the disk is looked at."""
_HEX: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One file to fetch.

    Attributes:
        target: final path; `.part` is appended while it is incomplete.
        sha256: digest that the operator or an index demands; empty if none.
        size_bytes: length that an index demands; 0 if none.
        lanes: connections side by side at most, each at a segment of `segment_bytes`.
        copied: whether a private copy of the file will need its own blocks.
        pause_s: wait before a second attempt; doubled before each further one.
        renew: called before each further attempt: a registry's token may have expired.
    """

    url: str
    target: Path
    max_bytes: int
    sha256: str
    size_bytes: int = 0
    lanes: int = 1
    copied: bool = False
    pause_s: float = 0.5
    segment_bytes: int = SEGMENT_BYTES
    renew: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Landed:
    """A complete file.

    Attributes:
        final_url: where the last redirect led, without its query, which may be a credential.
        validator: strong ETag, or a date; empty if the server gives none.
    """

    size_bytes: int
    sha256: str
    final_url: str
    revision: str
    validator: str


@dataclass(frozen=True, slots=True)
class _Begun:
    """What the first answer of an attempt says.

    Attributes:
        start: first byte of its body.
        total: length of the whole; 0 if unknown.
        got: of each segment, what is there, if the rest is to come by several connections.
    """

    start: int
    total: int
    demanded: str
    validator: str
    url: str
    revision: str
    got: list[int] | None


def download(web: Web, wanted: Download, moved: Moved) -> Landed:
    """Fetch a file; a broken connection is resumed a few times before it is an error.

    Raises:
        CorralError: codes of `Web.get`, `too_large`, `no_space`, `hash_mismatch`.
    """
    failures, lanes = 0, wanted.lanes
    partial = Partial(wanted.target)
    again = False
    while True:
        before = partial.prefix(partial.load(wanted.url, wanted.sha256))
        try:
            if again and wanted.renew is not None:
                wanted.renew()
            again = True
            begun, digest, size = _attempt(web, wanted, partial, lanes, moved)
        except _LanesFailed:
            # They may have come far before an address or a token expired; else one stream goes on.
            now = partial.prefix(partial.load(wanted.url, wanted.sha256))
            lanes = wanted.lanes if now >= before + 2 * wanted.segment_bytes else 1
        except CorralError as error:
            if error.code != "network_error":
                partial.discard()
                raise
            now = partial.prefix(partial.load(wanted.url, wanted.sha256))
            failures = 0 if now > before + MIB else failures + 1
            if failures >= _ATTEMPTS:
                raise
            time.sleep(wanted.pause_s * 2 ** max(0, failures - 1))
        else:
            return _land(wanted, partial, begun, digest, size)


def _land(wanted: Download, partial: Partial, begun: _Begun, digest: str, size: int) -> Landed:
    if begun.demanded and digest != begun.demanded:
        partial.discard()
        raise CorralError(
            "hash_mismatch",
            f"the downloaded file has sha256 {digest}, expected {begun.demanded}",
            remedy="find out why the file changed before you trust the new digest",
        )
    partial.complete()
    return Landed(size, digest, shown_url(begun.url), begun.revision, begun.validator)


class _LanesFailed(Exception):  # noqa: N818  not an error: one stream goes on
    """Several connections are not what this server is for."""


def _attempt(
    web: Web, wanted: Download, partial: Partial, lanes: int, moved: Moved
) -> tuple[_Begun, str, int]:
    saved = partial.load(wanted.url, wanted.sha256)
    start, headers = _resume_point(wanted, partial, saved)
    with web.get(wanted.url, headers) as answer:
        if answer.status == 416:
            # What we have is not a beginning of what the server has now.
            partial.discard()
            raise CorralError("network_error", "the file changed while it was fetched")
        begun = _begin(wanted, answer, start, saved, lanes)
        if begun.got is None:
            moved(begun.start, begun.total, begun.start)
            digest, size = _receive(answer, wanted, partial, begun, moved)
            if begun.total and size != begun.total:
                raise CorralError("network_error", "the connection ended before the file did")
            return begun, digest, size
    moved(begun.start, begun.total, begun.start)
    return begun, _receive_ranges(web, wanted, partial, begun, lanes, moved), begun.total


def _begin(wanted: Download, answer: Answer, start: int, saved: Saved | None, lanes: int) -> _Begun:
    if answer.status == 206:
        total = _resumed_total(answer, start)
    else:
        check_status(answer.status)
        start, total = 0, _length(answer.headers.get("content-length", ""))
    if max(total, wanted.size_bytes) > wanted.max_bytes:
        raise _too_large(wanted)
    if wanted.size_bytes and total and total != wanted.size_bytes:
        raise _wrong_length(wanted, total)
    check_room(
        wanted.target.parent,
        missing_bytes=max(0, total - start),
        copy_bytes=total if wanted.copied else 0,
    )
    etag = strong_etag(answer.headers)
    ranges = answer.status == 206 or answer.headers.get("accept-ranges", "").lower() == "bytes"
    got = None
    size = wanted.segment_bytes
    # Less than two segments are not worth a second connection.
    if lanes > 1 and etag and ranges and total - start >= 2 * size:
        got = segments_of(start, total, size)
        if start and saved and len(saved.got) == len(got) and saved.segment_bytes == size:
            got = saved.got
    revision = next((t["x-repo-commit"] for t in answer.trail if "x-repo-commit" in t), "")
    return _Begun(
        start, total, wanted.sha256 or linked_sha256(answer.trail),
        validator_of(answer.headers), answer.url,
        revision if re.fullmatch(r"[0-9a-f]{0,64}", revision) else "", got,
    )  # fmt: skip


def _receive_ranges(
    web: Web, wanted: Download, partial: Partial, begun: _Begun, lanes: int, moved: Moved
) -> str:
    def note(got: list[int]) -> None:
        partial.keep(wanted.url, wanted.sha256, begun.validator, got, wanted.segment_bytes)

    if not begun.start:
        partial.discard()
    run = RangedFetch(
        web, partial, url=begun.url, etag=begun.validator, total=begun.total,
        got=begun.got or [], segment_bytes=wanted.segment_bytes, note=note,
    )  # fmt: skip
    try:
        return run.run(lanes, moved)
    except CorralError as error:
        if error.code == "no_space":
            raise
        raise _LanesFailed from error


def _receive(
    answer: Answer, wanted: Download, partial: Partial, begun: _Begun, moved: Moved
) -> tuple[str, int]:
    hasher, size, looked = hashlib.sha256(), begun.start, begun.start
    partial.cut(size)
    with disk_errors():
        partial.keep(wanted.url, wanted.sha256, begun.validator)
    with partial.part.open("r+b" if size else "wb", buffering=0) as file:
        left = size
        while left:
            chunk = file.read(min(MIB, left))
            if not chunk:
                raise CorralError("network_error", "the partial file changed")
            hasher.update(chunk)
            left -= len(chunk)
        for chunk in answer.chunks():
            size += len(chunk)
            if size > wanted.max_bytes:
                raise _too_large(wanted)
            if wanted.size_bytes and size > wanted.size_bytes:
                raise _wrong_length(wanted, size)
            if begun.total and size > begun.total:
                raise CorralError("http_error", "the server sends more than it announced")
            if size - looked >= _LOOK_BYTES:
                check_still_room(wanted.target.parent)
                looked = size
            with disk_errors():
                write_all(file, chunk)
            hasher.update(chunk)
            moved(size, begun.total, size)
        with disk_errors():
            os.fsync(file.fileno())
    return hasher.hexdigest(), size


def _resume_point(
    wanted: Download, partial: Partial, saved: Saved | None
) -> tuple[int, Mapping[str, str]]:
    size = partial.prefix(saved)
    if saved is None or not size:
        return 0, {}
    headers = {"range": f"bytes={size}-"}
    if saved.validator:
        return size, headers | {"if-range": saved.validator}
    # Without a validator only a known digest proves that the two halves belong together.
    return (size, headers) if wanted.sha256 else (0, {})


def _resumed_total(answer: Answer, start: int) -> int:
    said = parse_content_range(answer.headers.get("content-range", ""))
    if said is None or said[0] != start or not start:
        raise CorralError("http_error", "the server sent another part of the file than asked")
    return said[2]


def strong_etag(headers: Mapping[str, str]) -> str:
    """Return the strong ETag (RFC 9110 section 8.8.3), or nothing."""
    etag = headers.get("etag", "")
    return etag if etag.startswith('"') else ""


def validator_of(headers: Mapping[str, str]) -> str:
    """Return by what a version of a file is known again: strong ETag, or a date, or nothing."""
    return (strong_etag(headers) or headers.get("last-modified", ""))[:1024]


def linked_sha256(trail: tuple[Mapping[str, str], ...]) -> str:
    """Return the digest that a hub named on the way to the file, or nothing."""
    for headers in trail:
        linked = headers.get("x-linked-etag", "").strip('"')
        if _HEX.fullmatch(linked):
            return linked
    return ""


def _length(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def _wrong_length(wanted: Download, found: int) -> CorralError:
    return CorralError(
        "hash_mismatch",
        f"the server's file has {found} bytes or more, expected {wanted.size_bytes}",
        remedy="find out why the file changed before you trust another one",
    )


def _too_large(wanted: Download) -> CorralError:
    return CorralError(
        "too_large",
        f"the file is larger than {wanted.max_bytes} bytes",
        remedy="raise fetch.max_bytes in corral.toml if you want it",
    )
