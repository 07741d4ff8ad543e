"""Memory that would become code.

Trust: runs in a jail. Input: `Context`. Maps a page and never runs it.
"""

from __future__ import annotations

import ctypes
import mmap
import os

from corral.selftest.probes.registry import Context, Stopped, no_result, probe
from corral.selftest.probes.syscall_unsafe import LIBC, prctl

_PAGE = 4096
_PR_GET_MDWE = 66
_PR_SET_MEMORY_MERGE, _PR_GET_MEMORY_MERGE = 67, 68
_MADV_MERGEABLE = 12


@probe("memory.writable-code")
def _writable_code(_: Context) -> None:
    mmap.mmap(-1, _PAGE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


@probe("memory.gain-exec")
def _gain_exec(_: Context) -> None:
    area = mmap.mmap(-1, _PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    # SAFETY: the page is ours and stays mapped during the call.
    if LIBC.mprotect(ctypes.c_void_p(address), _PAGE, mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "mprotect")


@probe("memory.shared-code")
def _shared_code(_: Context) -> None:
    flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS
    mmap.mmap(-1, _PAGE, flags=flags, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close()


@probe("memory.code-from-own-file")
def _code_from_file(context: Context) -> None:
    place = f"{context.scratch or '/tmp'}/code"  # noqa: S108 - the jail's own
    fd = os.open(place, os.O_RDWR | os.O_CREAT, 0o700)
    try:
        os.write(fd, bytes(_PAGE))
        mmap.mmap(fd, _PAGE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
    finally:
        os.close(fd)
        with no_result():
            os.unlink(place)


@probe("memory.lock-state")
def _lock_state(_: Context) -> None:
    if prctl(_PR_GET_MDWE) & 1:
        raise Stopped("mdwe")


@probe("memory.mergeable")
def _mergeable(_: Context) -> None:
    # Offer a page to KSM, whose merging tells by its timing who else has an equal page.
    area = mmap.mmap(-1, _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(_MADV_MERGEABLE)
    area.madvise(_MADV_MERGEABLE + 1)
    area.close()


@probe("memory.merge-process")
def _merge_process(_: Context) -> None:
    before = 0
    with no_result():  # a sealed process may not even ask
        before = prctl(_PR_GET_MEMORY_MERGE)
    prctl(_PR_SET_MEMORY_MERGE, 1)
    prctl(_PR_SET_MEMORY_MERGE, before)
