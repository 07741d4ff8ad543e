"""Exhaustion, each with a hard bound of its own, so that a missing wall costs little.

Trust: runs in a jail; the control runs in the selftest's own bounded control group.
Input: `Context`.
"""

from __future__ import annotations

import mmap
import os
import resource
import threading
import time
import zlib
from contextlib import suppress

from corral.selftest.probes.registry import Context, Stopped, no_result, probe

_THREADS = 300
_FILES = 5000
_MEMORY_BYTES = 96 << 20
"""More than the 64 MiB of a probe's jail."""
_MAPPED_BYTES = 192 << 20
"""More than its data limit of 128 MiB; none of it is touched."""
_STEP_BYTES = 8 << 20
_DISK_BYTES = 24 << 20
_STACK_BYTES = 64 << 10
_HOG_S = 0.5
_HOGS = 12
"""Threads for each processor, where so many may be made; its competitor is one process for each."""


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
    mmap.mmap(-1, _MAPPED_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()


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
    place = context.at("/tmp/fill")  # noqa: S108 - the jail's own
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
def _raise_limit(_: Context) -> None:
    # A jail's soft and hard limits are one: to raise the one is to raise the other.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft + 1, max(soft + 1, hard)))
    except ValueError as error:  # what Python makes of EPERM
        raise Stopped("EPERM") from error


@probe("resource.processor", alone=True)
def _processor(context: Context) -> str:
    # Many threads that compute, beside the selftest's own competitors, one for each processor;
    # whether it got more than its share, only a look at both can tell.
    until = time.monotonic() + _HOG_S
    block = bytes(1 << 20)

    def spin() -> None:
        while time.monotonic() < until:
            zlib.crc32(block)  # without the interpreter lock

    threading.stack_size(_STACK_BYTES)
    threads = []
    before, began = time.process_time(), time.monotonic()
    with suppress(RuntimeError):  # as many as there may be
        for _number in range(_HOGS * context.processors):
            thread = threading.Thread(target=spin)
            thread.start()
            threads.append(thread)
    for thread in threads:
        thread.join()
    after, ended = time.process_time(), time.monotonic()  # the kernel's own account
    return f"took-{(after - before) * 1000:.0f}-{began * 1000:.0f}-{ended * 1000:.0f}"


@probe("resource.core-dump", alone=True)
def _core_dump(context: Context) -> None:
    # Whoever started this process looks into the folder afterwards.
    with no_result():  # a filter may refuse even that; then it would lie in the root
        os.chdir(context.scratch)
    os.abort()
