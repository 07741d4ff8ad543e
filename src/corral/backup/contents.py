"""What of an installation is in a backup, and how its files are opened.

Trust: operator side. Input: the state folder; the gateway's zone can write `HOME/state`, so no link
is followed there or anywhere, and only plain files are read.

In: configuration, database, secrets, certificates, policy, advisories, journal of admission, both
audit chains, trust marks; models (`store/sha256`, `store/held`) if asked for. Not in: images, logs,
`run`, quarantine, reports, what rotted: all of that is made anew or is nobody's loss.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from corral.audit.record import Chain
from corral.audit.segments import list_segments, segment_file
from corral.core.errors import CorralError
from corral.core.home import Home

DATABASE: Final = "state/corral.db"
_FOLDERS: Final = ("secrets", "tls", "policy", "advisories", "journal")
_CHAINS: Final[tuple[tuple[str, Chain], ...]] = (("audit", "operator"), ("state", "gateway"))
_MODELS: Final = ("store/sha256", "store/held")
_PATH_BYTES: Final = 100
"""What fits into the one block of a tar's member; ours have up to 77."""
_PART: Final = r"[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]{0,199}"
_ALLOWED: Final = re.compile(
    r"corral\.toml|state/corral\.db|state/audit-gateway-[0-9]{8}\.jsonl"
    r"|audit/audit-operator-[0-9]{8}\.jsonl|store/(trust|sha256|held)/[0-9a-f]{64}"
    rf"|(secrets|tls|policy|advisories|journal)(/{_PART}){{1,4}}"
)


def is_content(path: str) -> bool:
    """Return whether a backup may have a file of this path, relative to the state folder."""
    try:
        return _ALLOWED.fullmatch(path) is not None and len(path.encode()) <= _PATH_BYTES
    except UnicodeEncodeError:
        return False


def list_contents(home: Home, *, models: bool) -> Iterator[str]:
    """Yield the paths of a backup without the database, relative to the state folder.

    The order is that of reading, and matters beside a running server: each record names what was
    written before it (the database the newest seals, the operator's chain one of the gateway's),
    so what is named is read after what names it.

    Raises:
        CorralError: code `backup_unsafe_file`: a name that no backup can have.
        OSError: a folder cannot be read.
    """
    if home.config_file.exists():
        yield home.config_file.name
    for folder in _FOLDERS:
        yield from _below(home.root, folder)
    for folder, chain in _CHAINS:
        for number in list_segments(home.root / folder, chain):
            yield f"{folder}/{segment_file(Path(), chain, number).name}"
    for folder in ("store/trust", *(_MODELS if models else ())):
        yield from (path for path in _below(home.root, folder) if is_content(path))


def open_content(home: Home, path: str) -> BinaryIO:
    """Open one file for reading.

    Raises:
        CorralError: code `backup_unsafe_file`: a link, or no plain file.
        OSError: it cannot be opened.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(home.root / path, flags)
    except OSError as error:
        if (home.root / path).is_symlink():
            raise unsafe(path) from error
        raise
    facts = os.fstat(fd)
    # A second name of a file in the gateway's folder could be that of somebody's secret.
    if not stat.S_ISREG(facts.st_mode) or (path.startswith("state/") and facts.st_nlink != 1):
        os.close(fd)
        raise unsafe(path)
    return os.fdopen(fd, "rb")


def unsafe(path: str) -> CorralError:
    """Return the error of a file that does not go into a backup."""
    return CorralError(
        "backup_unsafe_file",
        f"{path.encode('unicode_escape', 'surrogateescape').decode()[:200]} is a link, no plain "
        "file, or has a name that no backup can have",
        remedy="put a plain file in its place, or move it out of the state folder",
    )


def _below(root: Path, folder: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(root / folder))  # noqa: PTH208 - names only
    except FileNotFoundError:
        return
    for name in names:
        if name.startswith("."):
            continue  # locks, and what a write that was cut off has left
        path = f"{folder}/{name}"
        if (root / path).is_dir() and not (root / path).is_symlink():
            yield from _below(root, path)
        elif is_content(path) or folder.startswith("store/"):
            yield path
        else:
            raise unsafe(path)
