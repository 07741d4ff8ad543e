"""Open a model or a candidate read-only, or refuse: the launcher hands out descriptors, not paths.

Trust: trusted base. Input: names that passed `core.ids`; the files' contents are never read here.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from corral.core.errors import SandboxError
from corral.core.home import Home
from corral.core.ids import pair_digest, parse_digest
from corral.launcher.stage import QUARANTINE, STORE
from corral.sandbox.runtimes import TRUSTS

_CANDIDATE: Final = re.compile(r"(?:[0-9a-zA-Z_-]{1,80}/)?[0-9a-zA-Z][0-9a-zA-Z._-]{0,200}")
FOLDER: Final = re.compile(r"[0-9a-zA-Z_-]{1,80}")


def open_blob(digest: str, *, quarantined: bool) -> int:
    """Return a descriptor of a model.

    Raises:
        SandboxError: codes `model_missing`, `model_unsafe`.
        CorralError: code `bad_digest`.
    """
    name = parse_digest(digest)
    path = QUARANTINE / "blobs" / name if quarantined else STORE / name
    return open_read_only(str(path))


def open_pair(model: str, laid: str, *, quarantined: bool) -> tuple[int, int]:
    """Return descriptors of a model, and of what is laid over it or -1.

    Raises:
        SandboxError, CorralError: as `open_blob`.
    """
    fd = open_blob(model, quarantined=quarantined)
    if not laid:
        return fd, -1
    try:
        return fd, open_blob(laid, quarantined=quarantined)
    except BaseException:
        os.close(fd)
        raise


def read_trust(home: Home, digest: str) -> str:
    """Return the trust level that admission noted for a blob; the least if nothing sound is there.

    Raises:
        CorralError: code `bad_digest`.
    """
    try:
        fd = open_read_only(str(home.trust_mark(parse_digest(digest))))
    except SandboxError:
        return TRUSTS[0]
    with os.fdopen(fd, "rb") as file:
        word = file.read(16).decode(errors="replace").strip()
    return word if word in TRUSTS else TRUSTS[0]


def read_pair_trust(home: Home, base: str, laid: str, how: str) -> str:
    """Return the trust level that admission noted for a model with what is laid over it.

    Raises:
        SandboxError: code `adapter_not_admitted`: it noted none, so nobody has tried the two.
        CorralError: code `bad_digest`.
    """
    pair = pair_digest(parse_digest(base), parse_digest(laid), how)
    if not home.trust_mark(pair).is_file():
        raise SandboxError("adapter_not_admitted", "that was not admitted with this model")
    return min(read_trust(home, base), read_trust(home, pair), key=TRUSTS.index)


def open_candidate(name: str) -> int:
    """Return a descriptor of a file in quarantine.

    Raises:
        SandboxError: codes `model_missing`, `model_unsafe`.
    """
    if not _CANDIDATE.fullmatch(name) or ".." in name:
        raise SandboxError("model_missing", "there is no such file in quarantine")
    return open_read_only(str(QUARANTINE / name))


def open_beside(name: str) -> tuple[int, int]:
    """Return a descriptor of a folder of the quarantine, and the bytes of its files.

    Raises:
        SandboxError: codes `bad_folder`, `model_unsafe`.
    """
    if not FOLDER.fullmatch(name):
        raise SandboxError("bad_folder", "that is no name of a quarantine folder")
    fd = _open_folder(QUARANTINE / name, "bad_folder", "there is no such folder in quarantine")
    return fd, sum(one.stat(follow_symlinks=False).st_size for one in os.scandir(fd))


def open_detector(home: Home) -> int:
    """Return a descriptor of the folder of the detector that is installed.

    Raises:
        SandboxError: codes `detector_missing`, `model_unsafe`.
    """
    return _open_folder(home.detector, "detector_missing", "no detector is installed")


def _open_folder(path: Path, code: str, missing: str) -> int:
    try:
        fd = os.open(path, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError(code, missing) from error
    facts = os.fstat(fd)
    if facts.st_mode & 0o022 or facts.st_uid not in {0, os.geteuid()}:
        os.close(fd)
        raise SandboxError("model_unsafe", "the folder is not one that only corral can write")
    return fd


def open_read_only(path: str) -> int:
    """Open a regular file that nobody but the operator (or we) can write.

    Raises:
        SandboxError: codes `model_missing`, `model_unsafe`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError("model_missing", "the model file cannot be opened") from error
    facts = os.fstat(fd)
    if (
        not stat.S_ISREG(facts.st_mode)
        or facts.st_mode & 0o022
        or facts.st_uid not in {0, os.geteuid()}
    ):
        os.close(fd)
        raise SandboxError("model_unsafe", "the model file is not one that only corral can write")
    return fd
