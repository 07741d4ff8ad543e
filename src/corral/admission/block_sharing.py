"""Whether a file system can give a copy the blocks of its original (reflink), found by trying.

Trust: operator side. ioctl_ficlone(2).
"""

from __future__ import annotations

import fcntl
import tempfile
from pathlib import Path
from typing import Final

_FICLONE: Final = 0x40049409


def shares_blocks(folder: Path) -> bool:
    """Return whether a copy within `folder` needs no blocks of its own."""
    with tempfile.TemporaryFile(dir=folder) as one, tempfile.TemporaryFile(dir=folder) as other:
        one.write(bytes(4096))
        one.flush()
        try:
            fcntl.ioctl(other.fileno(), _FICLONE, one.fileno())
        except OSError:
            return False
        return True
