"""The second phase of a worker's confinement, in the order that makes it hold for every thread.

Trust: jail zone. Input: our own sealed profile, read before the model is.

1. `before_load`, while there is one thread: Landlock with the model (and an adapter or a projector
   for it) to read and nothing else; no TCP, no signal and no abstract socket to the outside. Every
   thread that the engine makes later inherits it.
2. The engine loads the model and answers one request, so that all its threads exist.
3. `after_load`, in the main thread: the listener ends, Landlock with nothing at all. From version
   8 on it reaches every thread; before, the engine's own keep the model, which is in their memory
   anyway. The request threads and the pacer are made now and inherit it.
4. `finish`: every descriptor but the three of the wire is closed, and the last filter is installed
   in all threads (docs/adr/0011-sealed-worker.md).
"""

from __future__ import annotations

import os
import stat
import time

from corral.core.limits import LANDLOCK_VERSION_MIN
from corral.engine.plain_json import decode
from corral.jail.filter import compile_filter
from corral.jail.seal_unsafe import (
    READ_FILE,
    end_listeners,
    install_filter,
    landlock_version,
    restrict_files,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_FDS_MAX: Final = 1024
_SETTLE_S: Final = 5.0
_LOOK_S: Final = 0.005


class SealError(Exception):
    """A wall could not be put up; the worker must not serve."""


class Seal:
    """Closes a worker in, step by step.

    Args:
        profile: the image's `sealed.json`.
        landlock: whether the kernel must have Landlock, of a version that holds all that is asked;
            False under gVisor and where the operator accepted that it is missing: then what there
            is of it is used.

    Raises:
        SealError: the profile cannot be read, or Landlock is needed and missing or too old.
    """

    def __init__(self, profile: str, *, landlock: bool) -> None:
        try:
            with open(profile, "rb") as file:  # noqa: PTH123 - pathlib is not in a worker
                self._program = compile_filter(decode(file.read()), os.uname().machine)
            version = _landlock_version(needed=landlock)
            # Opened now: Landlock will forbid it, but does not take away what is open.
            self._tasks = os.open("/proc/self/task", os.O_RDONLY | os.O_DIRECTORY)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SealError(f"sealed profile: {error}") from error
        if landlock and version < LANDLOCK_VERSION_MIN:
            raise SealError(f"the kernel has no Landlock of version {LANDLOCK_VERSION_MIN}")
        self._landlock = version > 0

    def before_load(self, *files: str) -> None:
        """Let the load read the model and what is laid over it, and no other file.

        Raises:
            SealError: the kernel refused.
        """
        self._restrict([(file, READ_FILE) for file in files])

    def after_load(self) -> None:
        """End the engine's listener and forbid all files to this thread and those it makes.

        Raises:
            SealError: the kernel refused, or the listener's thread does not end.
        """
        sockets = [fd for fd in range(3, _FDS_MAX) if _is_socket(fd)]
        threads = self._threads()
        try:
            ended = end_listeners(sockets)
        except OSError as error:
            raise SealError(f"listener: {error}") from error
        # A thread that is still leaving would meet the filter half-way.
        deadline = time.monotonic() + _SETTLE_S
        while ended and self._threads() >= threads:
            if time.monotonic() > deadline:
                raise SealError("the listener's thread does not end")
            time.sleep(_LOOK_S)
        self._restrict([])

    def finish(self) -> None:
        """Install the last filter in every thread; nothing can be opened from now on.

        Raises:
            SealError: the kernel refused, or the filter does not do what it must.
        """
        os.closerange(3, _FDS_MAX)
        try:
            install_filter(self._program)
        except OSError as error:
            raise SealError(f"filter: {error}") from error
        try:
            os.close(os.open("/", os.O_PATH))
        except PermissionError:
            pass
        else:
            raise SealError("a sealed worker could open a folder")
        try:
            time.monotonic()
        except OSError as error:  # the profile leaves out what this kernel needs for a clock
            raise SealError(f"clock: {error}") from error

    def _restrict(self, allowed: list[tuple[str, int]]) -> None:
        if not self._landlock:
            return
        try:
            restrict_files(allowed)
        except OSError as error:
            raise SealError(f"Landlock: {error}") from error

    def _threads(self) -> int:
        return len(os.listdir(self._tasks))  # noqa: PTH208 - pathlib is not in a worker


def _landlock_version(*, needed: bool) -> int:
    try:
        return landlock_version()
    except OSError:
        if needed:
            raise
        return 0  # gVisor's filters refuse calls that its kernel does not know


def _is_socket(fd: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False
