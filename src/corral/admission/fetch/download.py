"""Stream one URL into one file: resumed, size-capped, hashed, verified before the rename.

Trust: fetch jail. Input: untrusted body of unknown length; nothing but the running hash is kept.

    1 look what an earlier run of the same source left (`NAME.part`, `NAME.part.json`)
    2 ask for the rest with Range and If-Range; a server that changed the file sends all of it
    3 write and hash each chunk, never past the size cap
    4 compare the digest; a mismatch deletes the file
    5 fsync, rename NAME.part to NAME
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from corral.admission.fetch.web import Answer, Web, check_status
from corral.admission.source import shown_url
from corral.core.errors import CorralError
from corral.core.limits import MIB

_ATTEMPTS: Final = 4
_RESERVE_BYTES: Final = 64 * MIB
"""Kept free on the disk of the state folder: the database lives there too."""
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")
_HEX: Final = re.compile(r"[0-9a-f]{64}")

Moved = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One file to fetch.

    Attributes:
        target: final path; `.part` is appended while it is incomplete.
        sha256: digest that the operator or an index demands; empty if none.
        size_bytes: length that an index demands; 0 if none.
        pause_s: wait before a second attempt; doubled before each further one.
    """

    url: str
    target: Path
    max_bytes: int
    sha256: str
    size_bytes: int = 0
    pause_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Landed:
    """A complete file.

    Attributes:
        final_url: where the last redirect led, without its query, which may be a credential.
    """

    size_bytes: int
    sha256: str
    final_url: str
    revision: str


class _Saved(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of an incomplete file.

    Attributes:
        url_sha256: of the address; its query may be a credential, so it is not kept itself.
    """

    url_sha256: str
    sha256: str
    validator: str


def download(web: Web, wanted: Download, moved: Moved) -> Landed:
    """Fetch a file; a broken connection is resumed a few times before it is an error.

    Raises:
        CorralError: codes of `Web.get`, `too_large`, `no_space`, `hash_mismatch`.
    """
    failures = 0
    while True:
        before = _size(_part(wanted))
        try:
            return _attempt(web, wanted, moved)
        except CorralError as error:
            if error.code != "network_error":
                _discard(wanted)
                raise
            failures = 0 if _size(_part(wanted)) > before + MIB else failures + 1
            if failures >= _ATTEMPTS:
                raise
            time.sleep(wanted.pause_s * 2 ** max(0, failures - 1))


def _attempt(web: Web, wanted: Download, moved: Moved) -> Landed:
    start, headers = _resume_point(wanted)
    with web.get(wanted.url, headers) as answer:
        if answer.status == 416:
            # What we have is not a beginning of what the server has now.
            _discard(wanted)
            raise CorralError("network_error", "the file changed while it was fetched")
        if answer.status == 206:
            total = _resumed_total(answer, start)
        else:
            check_status(answer.status)
            start, total = 0, _length(answer.headers.get("content-length", ""))
        demanded = wanted.sha256 or linked_sha256(answer.trail)
        _check_size(wanted, start, total)
        _save(wanted, answer)
        digest, size = _receive(answer, wanted, start, total, moved)
    if total and size != total:
        raise CorralError("network_error", "the connection ended before the file did")
    if demanded and digest != demanded:
        _discard(wanted)
        raise CorralError(
            "hash_mismatch",
            f"the downloaded file has sha256 {digest}, expected {demanded}",
            remedy="find out why the file changed before you trust the new digest",
        )
    _part(wanted).replace(wanted.target)
    _meta(wanted).unlink(missing_ok=True)
    revision = next((t["x-repo-commit"] for t in answer.trail if "x-repo-commit" in t), "")
    revision = revision if re.fullmatch(r"[0-9a-f]{0,64}", revision) else ""
    return Landed(size, digest, shown_url(answer.url), revision)


def _receive(
    answer: Answer, wanted: Download, start: int, total: int, moved: Moved
) -> tuple[str, int]:
    hasher = hashlib.sha256()
    size = start
    with _part(wanted).open("r+b" if start else "wb") as file:
        left = start
        while left:
            chunk = file.read(min(MIB, left))
            if not chunk:
                raise CorralError("network_error", "the partial file changed")
            hasher.update(chunk)
            left -= len(chunk)
        file.truncate(start)
        for chunk in answer.chunks():
            size += len(chunk)
            if size > wanted.max_bytes:
                raise _too_large(wanted)
            if wanted.size_bytes and size > wanted.size_bytes:
                raise _wrong_length(wanted, size)
            if total and size > total:
                raise CorralError("http_error", "the server sends more than it announced")
            with disk_errors():
                file.write(chunk)
            hasher.update(chunk)
            moved(size, total)
        with disk_errors():
            file.flush()
            os.fsync(file.fileno())
    return hasher.hexdigest(), size


def _resume_point(wanted: Download) -> tuple[int, Mapping[str, str]]:
    size = _size(_part(wanted))
    if not size:
        return 0, {}
    try:
        saved = msgspec.json.decode(_meta(wanted).read_bytes(), type=_Saved)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return 0, {}
    if saved.url_sha256 != _url_sha256(wanted) or saved.sha256 != wanted.sha256:
        return 0, {}
    headers = {"range": f"bytes={size}-"}
    if saved.validator:
        return size, headers | {"if-range": saved.validator}
    # Without a validator only a known digest proves that the two halves belong together.
    return (size, headers) if wanted.sha256 else (0, {})


def _resumed_total(answer: Answer, start: int) -> int:
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    if match is None or int(match[1]) != start or not start:
        raise CorralError("http_error", "the server sent another part of the file than asked")
    return int(match[2])


def _check_size(wanted: Download, start: int, total: int) -> None:
    if max(total, wanted.size_bytes) > wanted.max_bytes:
        raise _too_large(wanted)
    if wanted.size_bytes and total and total != wanted.size_bytes:
        raise _wrong_length(wanted, total)
    disk = os.statvfs(wanted.target.parent)
    if total - start + _RESERVE_BYTES > disk.f_bavail * disk.f_frsize:
        raise no_space()


def _save(wanted: Download, answer: Answer) -> None:
    etag = answer.headers.get("etag", "")
    validator = etag if etag.startswith('"') else answer.headers.get("last-modified", "")
    with disk_errors():
        _meta(wanted).write_bytes(
            msgspec.json.encode(_Saved(_url_sha256(wanted), wanted.sha256, validator[:1024]))
        )


def linked_sha256(trail: tuple[Mapping[str, str], ...]) -> str:
    """Return the digest that a hub named on the way to the file, or nothing."""
    for headers in trail:
        linked = headers.get("x-linked-etag", "").strip('"')
        if _HEX.fullmatch(linked):
            return linked
    return ""


def _url_sha256(wanted: Download) -> str:
    return hashlib.sha256(wanted.url.encode()).hexdigest()


def _length(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def _discard(wanted: Download) -> None:
    _part(wanted).unlink(missing_ok=True)
    _meta(wanted).unlink(missing_ok=True)


def _part(wanted: Download) -> Path:
    return wanted.target.with_name(wanted.target.name + ".part")


def _meta(wanted: Download) -> Path:
    return wanted.target.with_name(wanted.target.name + ".part.json")


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


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


def no_space() -> CorralError:
    """Return the error of a full disk."""
    return CorralError(
        "no_space",
        "the disk of the state folder has not enough free space",
        remedy="free some space, or use another --home",
    )


class disk_errors:  # noqa: N801  a context manager, used like a function
    """Turn a full disk into its code."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise no_space() from error
