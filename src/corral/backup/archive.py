"""The tar inside of a backup: a manifest first, then exactly the files that it names, in its order.

Trust: operator side. Input of unpacking: a tar that was opened with the right key, which to a
recipient's public key anybody can have made: nothing is believed of it but what was checked.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Self

import msgspec

from corral.backup.contents import DATABASE, is_content
from corral.core.errors import CorralError

MANIFEST: Final = "manifest.json"
_MANIFEST_BYTES: Final = 64 << 20
_BLOCK: Final = 1 << 16


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file.

    Attributes:
        path: relative to the state folder.
        size: bytes.
        sha256: hexadecimal.
        mode: permission bits.
    """

    path: str
    size: int
    sha256: str
    mode: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a backup holds.

    Attributes:
        corral: version that made it.
        made_at: Unix seconds.
        models: whether the models' bytes are in it.
        files: all of it but this manifest.
    """

    format: int
    corral: str
    made_at: int
    models: bool
    files: tuple[Entry, ...]


class _Plain(tarfile.TarInfo):
    """A member of a plain file with everything about it in its one block.

    Extended headers are read whole into memory, whatever their size says, and can change a name.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type != tarfile.REGTYPE or member.size < 0:
            raise tarfile.ReadError("not a plain file")
        return member


def pack(manifest: Manifest, opened: Callable[[Entry], BinaryIO]) -> Iterator[bytes]:
    """Yield the tar, a piece of at most 64 KiB at a time.

    Args:
        manifest: what goes in.
        opened: gives one file at its beginning.

    Raises:
        CorralError: code `backup_changed`: a file is not what the manifest says any more.
        OSError: a file cannot be read.
    """
    head = msgspec.json.encode(manifest)
    yield _header(MANIFEST, len(head), 0o600, manifest.made_at)
    yield head
    yield bytes(-len(head) % tarfile.BLOCKSIZE)
    for entry in manifest.files:
        yield _header(entry.path, entry.size, entry.mode, manifest.made_at)
        digest, left = hashlib.sha256(), entry.size
        with opened(entry) as file:
            while left and (block := file.read(min(left, _BLOCK))):
                digest.update(block)
                left -= len(block)
                yield block
        if left or digest.hexdigest() != entry.sha256:
            raise changed(entry.path)
        yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def unpack(plain: BinaryIO, folder: Path) -> Manifest:
    """Write the files of a tar below an empty folder and return its manifest.

    Raises:
        CorralError: code `backup_content`: anything is not as the manifest says.
        OSError: a file cannot be written.
    """
    try:
        with tarfile.open(fileobj=plain, mode="r:", tarinfo=_Plain, encoding="utf-8") as tar:
            manifest = _manifest(tar)
            for entry in manifest.files:
                _extract(tar, entry, folder)
            if tar.next() is not None:
                raise _content("has more files than it names")
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise _content("is no tar as corral writes it") from error
    return manifest


def changed(path: str) -> CorralError:
    """Return the error of a file that was changed while it was read."""
    return CorralError(
        "backup_changed",
        f"{path} was changed while it was read; there is no backup",
        remedy="run it again; with --with-models, while nobody pulls or removes models",
    )


def _header(path: str, size: int, mode: int, at: int) -> bytes:
    member = tarfile.TarInfo(path)
    member.size, member.mode, member.mtime = size, mode, at
    # This form has room for any size, and for the names that `is_content` allows, in one block.
    return member.tobuf(format=tarfile.GNU_FORMAT, encoding="utf-8", errors="strict")


def _manifest(tar: tarfile.TarFile) -> Manifest:
    member = tar.next()
    if member is None or member.name != MANIFEST:
        raise _content("has no manifest")
    file = tar.extractfile(member)
    if member.size > _MANIFEST_BYTES or file is None:
        raise _content("has a manifest that is too large")
    try:
        manifest = msgspec.json.decode(file.read(), type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _content("has a manifest that cannot be read") from error
    if manifest.format != 1:
        raise CorralError(
            "backup_content",
            "this backup was made by a newer corral",
            remedy="restore it with that version",
        )
    if all(entry.path != DATABASE for entry in manifest.files):
        raise _content("names no database")
    return manifest


def _extract(tar: tarfile.TarFile, entry: Entry, folder: Path) -> None:
    if not is_content(entry.path) or entry.mode & ~0o755 or entry.size < 0:
        raise _content("names a file that no backup has")
    member = tar.next()
    if member is None or (member.name, member.size) != (entry.path, entry.size):
        raise _content("has other files than it names")
    source = tar.extractfile(member)
    if source is None:
        raise _content("has other files than it names")
    place = folder.joinpath(*PurePosixPath(entry.path).parts)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    digest = hashlib.sha256()
    try:
        fd = os.open(place, flags, 0o600)
    except (FileExistsError, NotADirectoryError) as error:
        raise _content("names a file twice") from error
    with os.fdopen(fd, "wb") as file:
        while block := source.read(_BLOCK):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fchmod(fd, entry.mode)
        os.fsync(fd)
    if digest.hexdigest() != entry.sha256:
        raise _content("has a file that is not what the manifest says")


def _content(what: str) -> CorralError:
    return CorralError(
        "backup_content",
        f"the backup {what}; nothing of it is used",
        remedy="take another backup, and ask who made this one",
    )
