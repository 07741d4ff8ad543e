"""Keep a heap small: few arenas, and free memory back to the kernel when there is nothing to do.

Trust: jail zone, and gateway [net]. glibc gives each thread an arena of its own and keeps what a
load has freed; with one worker for each tenant that is several MiB each, and in the gateway what a
rush of many tenants took at once (docs/benchmarks.md). See mallopt(3) and malloc_trim(3).
"""

from __future__ import annotations

import ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_M_MMAP_THRESHOLD: Final = -3
_MMAP_BYTES: Final = 128 * 1024
_M_ARENA_MAX: Final = -8
_ARENAS: Final = 2

_libc: Final = ctypes.CDLL(None)


def limit_arenas() -> None:
    """Have all threads share two arenas and large blocks live outside; call before threads exist.

    Setting the threshold also keeps glibc from raising it, after which large blocks that a load
    frees would stay in the heap.
    """
    # SAFETY: plain integers; a C library without mallopt has been refused by the import above.
    _libc.mallopt(_M_ARENA_MAX, _ARENAS)
    _libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)


def release_free_memory() -> None:
    """Give free heap pages back to the kernel; takes about a millisecond."""
    _libc.malloc_trim(ctypes.c_size_t(0))
