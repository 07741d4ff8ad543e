"""Hash the files of a model as they lie on the disk, and compare them with what was signed.

Trust: operator side. Input: a file or folder that others may change while it is read: everything is
opened once, from its folder's descriptor and without following links, and hashed from there.

What is not a regular file or a folder is refused: a link can lead to another file tomorrow. No name
is special: files of git count like all others (model-signing leaves them out, so that a hook could
be added to a signed model).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from corral.admission.sealing import open_local_file
from corral.admission.signing.refusal import refused
from corral.admission.signing.statement import RESOURCES, SINGLE, Manifest, Part
from corral.core.errors import CorralError
from corral.core.ids import Digest
from corral.core.limits import MIB

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DEPTH: Final = 32
_WHOLE: Final = Part(0, None, Digest(""))


def model_name(path: Path) -> str:
    """Return the name that a signature gives to a file or folder."""
    return path.absolute().name or path.resolve().name


def hash_model(path: Path, ignored: Collection[str] = ()) -> list[tuple[str, Digest]]:
    """Return (relative path, digest) of every file; for a single file one with path `SINGLE`.

    Args:
        path: a file or a folder.
        ignored: relative paths of files and folders that are left out.

    Raises:
        CorralError: code `signature_mismatch`: something there is not a plain file; codes of
            `open_local_file`.
    """
    return [(name, _digests(fd, (_WHOLE,))[0]) for name, fd in _open_all(path, ignored)]


def check_model(path: Path, manifest: Manifest, ignored: Collection[str] = ()) -> int:
    """Compare a file or folder with a manifest and return how many files agree.

    Raises:
        CorralError: code `signature_mismatch`: a file is missing, is there too much, or differs;
            codes of `open_local_file`.
    """
    left = {name: parts for name, parts in manifest.files.items() if not _is_ignored(name, ignored)}
    agreed = len(left)
    for name, fd in _open_all(path, ignored):
        parts = left.pop(name, None)
        if parts is None:
            raise refused("signature_mismatch", f"this was not signed: {_shown(name)}")
        if parts[-1].end not in {None, os.fstat(fd).st_size}:
            raise refused("signature_mismatch", f"this has another size: {_shown(name)}")
        if _digests(fd, parts) != [part.sha256 for part in parts]:
            raise refused("signature_mismatch", f"this was changed: {_shown(name)}")
    if left:
        raise refused("signature_mismatch", f"this was signed and is not here: {_shown(min(left))}")
    return agreed


def _open_all(path: Path, ignored: Collection[str]) -> Iterator[tuple[str, int]]:
    """Yield each file's name and descriptor, which is closed when the next one is asked for."""
    try:
        folder = os.open(path, _FLAGS | os.O_DIRECTORY)
    except (NotADirectoryError, FileNotFoundError):
        fd = open_local_file(path)
        try:
            yield SINGLE, fd
        finally:
            os.close(fd)
        return
    except OSError as error:
        raise _unusual(model_name(path)) from error
    try:
        count = 0
        with closing(_walk(folder, "", frozenset(ignored), 0)) as files:
            for name, fd in files:
                count += 1
                if count > RESOURCES:
                    raise CorralError("too_many_files", "the folder has too many files to sign")
                yield name, fd
    finally:
        os.close(folder)


def _walk(
    folder: int, prefix: str, ignored: frozenset[str], depth: int
) -> Generator[tuple[str, int]]:
    if depth > _DEPTH:
        raise CorralError("too_many_files", "the folder is nested too deeply to sign")
    for entry in sorted(os.listdir(folder)):
        name = prefix + entry
        if name in ignored:
            continue
        try:
            fd = os.open(entry, _FLAGS, dir_fd=folder)
        except OSError as error:
            raise _unusual(name) from error
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                yield from _walk(fd, f"{name}/", ignored, depth + 1)
            elif stat.S_ISREG(mode) and name.isprintable() and "\\" not in name:
                yield name, fd
            else:
                raise _unusual(name)
        finally:
            os.close(fd)


def _digests(fd: int, parts: Sequence[Part]) -> list[Digest]:
    found = []
    for part in parts:
        hasher, at = hashlib.sha256(), part.start
        while part.end is None or at < part.end:
            wanted = MIB if part.end is None else min(MIB, part.end - at)
            chunk = os.pread(fd, wanted, at)
            if not chunk:
                break
            hasher.update(chunk)
            at += len(chunk)
        found.append(Digest(hasher.hexdigest()))
    return found


def _is_ignored(name: str, ignored: Collection[str]) -> bool:
    return any(name == one or name.startswith(f"{one}/") for one in ignored)


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _unusual(name: str) -> CorralError:
    return refused(
        "signature_mismatch", f"this is a link or no plain file, or cannot be read: {_shown(name)}"
    )
