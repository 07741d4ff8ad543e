"""The open master key on its way from `corral up` to the launcher: in memory, under no name.

Trust: operator side. Input: trusted. A memfd is kept over exec by its number alone; sealed, nobody
who has it can change it (memfd_create(2), F_ADD_SEALS in fcntl(2)).
"""

from __future__ import annotations

import fcntl
import os

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def key_memory() -> int:
    """Return a descriptor, closed on exec, of memory for a key that this or a child fills."""
    return os.memfd_create("master.key", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def seal_key(fd: int, key: bytes) -> int:
    """Put the key into the memory, for good; return the descriptor."""
    os.write(fd, key)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd
