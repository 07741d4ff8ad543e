"""Find the other parts of a model in several files, by their names beside the one that is named.

Trust: operator side. Input: a path of the operator; only names are looked at, nothing is opened.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_PART: Final = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf")


def with_siblings(path: Path) -> tuple[Path, ...]:
    """Return all parts of the set that a file is called a part of, in order, or just the file.

    Parts that are missing are left out: the scan of the rest says so.
    """
    named = _PART.fullmatch(path.name)
    if named is None or not 1 <= int(named[3]) <= 999:
        return (path,)
    every = [
        path.with_name(f"{named[1]}-{number:05d}-of-{named[3]}.gguf")
        for number in range(1, int(named[3]) + 1)
    ]
    return tuple(one for one in every if one == path or one.is_symlink() or one.exists())
