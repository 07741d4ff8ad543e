"""Exhaustion, each with a hard bound of its own, so that a missing wall costs little.

Trust: runs in a jail; the control runs in the selftest's own bounded control group.
Input: `Context`.
"""

from __future__ import annotations

import mmap
import os
import resource
import threading

from corral.selftest.probes.registry import Context, Stopped, no_result, probe

_THREADS = 300
_FILES = 5000
_MEMORY_BYTES = 320 << 20
"""More than the 256 MiB of a probe's jail."""
_STEP_BYTES = 8 << 20
_DISK_BYTES = 24 << 20
_STACK_BYTES = 64 << 10


@probe("resource.threads", alone=True)
def _threads(_: Context) -> None:
    threading.stack_size(_STACK_BYTES)
    gate = threading.Event()
    made: list[threading.Thread] = []
    try:
        for _number in range(_THREADS):
            thread = threading.Thread(target=gate.wait, daemon=True)
            thread.start()
            made.append(thread)
    except RuntimeError as error:
        raise Stopped("EAGAIN") from error
    finally:
        gate.set()
        for thread in made:
            thread.join()


@probe("resource.descriptors")
def _descriptors(context: Context) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    made: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for _number in range(_FILES):
            made.append(os.dup(0))  # noqa: PERF401 - each one must be closed
    finally:
        for fd in made:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@probe("resource.private-memory")
def _private_memory(_: Context) -> None:
    # Mapped, not touched: what must stop this is the data limit, before any page is used.
    mmap.mmap(-1, _MEMORY_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()


@probe("resource.shared-memory", alone=True)
def _shared_memory(_: Context) -> None:
    # Shared pages are not data for RLIMIT_DATA: only the control group counts them.
    held = []
    for _number in range(_MEMORY_BYTES // _STEP_BYTES):
        area = mmap.mmap(-1, _STEP_BYTES)
        for offset in range(0, _STEP_BYTES, mmap.PAGESIZE):
            area[offset] = 1
        held.append(area)


@probe("resource.temporary-disk")
def _temporary_disk(context: Context) -> None:
    place = f"{context.scratch}/fill" if context.control else "/tmp/fill"  # noqa: S108
    fd = os.open(place, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for _number in range(_DISK_BYTES >> 20):
            left = memoryview(bytes(1 << 20))
            while left:
                left = left[os.write(fd, left) :]
    finally:
        os.close(fd)
        with no_result():
            os.unlink(place)


@probe("resource.raise-limit")
def _raise_limit(context: Context) -> None:
    # A control may raise what it has lowered softly; a jail's soft and hard limits are one.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if context.control:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1))
    except ValueError as error:  # what Python makes of EPERM
        raise Stopped("EPERM") from error
