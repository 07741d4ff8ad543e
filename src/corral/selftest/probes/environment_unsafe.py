"""What the process got from whoever started it: descriptors, environment, folders.

Trust: runs in a jail. Input: `Context`.
"""

from __future__ import annotations

import ctypes
import os

from corral.selftest.probes.registry import Context, Stopped, probe

_STAT_ENV_START, _STAT_ENV_END = 49, 50
_HARMLESS = {b"HOME", b"PATH", b"TERM", b"container"}
"""Names that a runtime may set by itself; their values are constants of the image."""
_ROOT = frozenset({
    "dev", "etc", "lib", "lib64", "model", "adapter", "projector", "candidate", "opt", "proc",
    "quarantine", "state", "sys", "tmp", "usr",
})  # fmt: skip


@probe("inherit.descriptors")
def _descriptors(context: Context) -> None:
    listing = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
    numbers = {int(name) for name in os.listdir(listing)}
    highest = {"engine": 3, "scan": 3, "gateway": 3}.get(context.zone, 2)
    extra = sorted(numbers - set(range(highest + 1)) - {listing, max(numbers)})
    os.close(listing)
    if not extra:
        raise Stopped("none")


@probe("inherit.directories")
def _directories(_: Context) -> None:
    for fd in range(3, 64):
        try:
            os.listdir(fd)
        except OSError:
            continue
        return
    raise Stopped("none")


@probe("inherit.environment")
def _environment(_: Context) -> None:
    if not os.environ:
        raise Stopped("empty")


@probe("inherit.environment-memory")
def _environment_memory(_: Context) -> None:
    # `environ` was cleared; what the kernel once copied onto the stack is still there.
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[_STAT_ENV_START - 2]), int(fields[_STAT_ENV_END - 2])
    if not 0 < end - start < 1 << 20:
        raise Stopped("hidden")
    # SAFETY: the kernel says that this part of our own stack is mapped.
    names = {part.split(b"=")[0] for part in ctypes.string_at(start, end - start).split(b"\0")}
    if not {name for name in names if name} - _HARMLESS:
        raise Stopped("empty")


@probe("inherit.root")
def _root(_: Context) -> None:
    if not set(os.listdir("/")) - _ROOT:
        raise Stopped("bare")


@probe("inherit.secret-state")
def _state(context: Context) -> None:
    # A selftest's jail gets an empty folder here; what must not be there is anybody's data.
    if not os.listdir(context.scratch or "/state"):
        raise Stopped("empty")
