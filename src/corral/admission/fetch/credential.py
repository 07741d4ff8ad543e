"""Read the operator's token for one host from a file that only the operator can read.

Trust: operator side. Input: paths of the configuration; the content is a secret that goes to the
fetch job by its pipe: never into an argument, an environment, a log or a message.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError

_FILE_BYTES: Final = 16 << 10
_SECRET: Final = re.compile(rb"[!-~]+")


def read_credential(token_files: Sequence[str], place: str) -> str:
    """Return the value of `Authorization` for a host, or an empty text where there is no file.

    A file holds one line: a token (sent as `Bearer`), or NAME:PASSWORD (sent as `Basic`).

    Args:
        token_files: `host=path` or `host:port=path`, absolute paths.
        place: `host:port`.

    Raises:
        CorralError: code `token_file`: others can read it, or it is no token.
    """
    host, _, port = place.rpartition(":")
    files = {key.lower(): path for key, _, path in (text.partition("=") for text in token_files)}
    name = files.get(place) or (files.get(host) if port == "443" else None)
    if name is None:
        return ""
    secret = _read(Path(name).expanduser()).strip()
    if not _SECRET.fullmatch(secret):
        raise _unusable("it does not hold one line with a token")
    if b":" in secret:
        return "Basic " + base64.b64encode(secret).decode()
    return "Bearer " + secret.decode()


def _read(path: Path) -> bytes:
    if not path.is_absolute():
        raise _unusable("its path is not absolute")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable("it cannot be opened, or is a link") from error
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_mode & 0o077 or facts.st_uid != os.geteuid():
            raise _unusable("others than you can read it, or it is not yours")
        return os.read(fd, _FILE_BYTES)
    finally:
        os.close(fd)


def _unusable(why: str) -> CorralError:
    return CorralError(
        "token_file",
        f"a file of fetch.token_files cannot be used: {why}",
        remedy="one line, chmod 600, owned by the user who runs corral, by its absolute path",
    )
