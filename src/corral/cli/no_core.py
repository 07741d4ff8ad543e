"""No core file of a process that has a passphrase or an open key in its memory.

Trust: operator side. The kernel sends what it writes of a dying process to a file or to a program
(core(5)); a limit of one byte stops both: a file, because none is that small, and a program,
because the kernel takes the one as a sign (fs/coredump.c).
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_core_file() -> Iterator[None]:
    """Leave no core file, whatever ends this process in the block: SIGQUIT at a question, too."""
    before, most = resource.getrlimit(resource.RLIMIT_CORE)
    least = 1 if most == resource.RLIM_INFINITY else min(1, most)
    resource.setrlimit(resource.RLIMIT_CORE, (least, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (before, most))
