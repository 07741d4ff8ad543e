"""Who is behind a command: the user who logged in, whatever user the command runs as.

Trust: operator side. Input: the kernel's own word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_NOBODY: Final = (1 << 32) - 1


def login_uid() -> int:
    """Return the user who logged in, as the kernel's audit keeps it; -1 if nobody did."""
    try:
        found = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return -1
    return -1 if found == _NOBODY else found
