"""Make the private copy of a file, and hash it, while a fetch job still brings the rest.

Trust: operator side. Input: a file that a jail writes, and its word on how much of it is final:
both hostile. What counts is the digest of the copy, which the jail cannot reach; where it is not
what the job says, because the beginning was changed after it was copied, all is copied again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from corral.admission.sealing import SealedBlob, SealingCopy, open_fetched_file
from corral.core.errors import CorralError
from corral.core.ids import Digest
from corral.core.limits import MIB

_STEP_BYTES: Final = 256 * MIB
"""Most that is copied at one word of the job, so that its next one is read in time."""

Moved = Callable[[int, int], None]


class GrowingCopy:
    """The copy of one fetched file; leaving the context takes away what was not sealed.

    Args:
        source: file that the job writes while it is incomplete.
        folder: a private folder on the disk of the state folder; made if missing.
        max_bytes: a longer file is refused.
    """

    def __init__(self, source: Path, folder: Path, max_bytes: int) -> None:
        self._source, self._folder, self._max_bytes = source, folder, max_bytes
        self._fd = -1
        self._copy: SealingCopy | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._start_over()

    def follow(self, ready_bytes: int) -> None:
        """Copy what has become final; less than before: the job starts over.

        Raises:
            CorralError: codes `too_large`, `no_space`, `copy_failed`.
        """
        if self._copy is not None and ready_bytes < self._copy.size_bytes:
            self._start_over()
        if not ready_bytes:
            return
        if self._copy is None:
            try:
                self._fd = open_fetched_file(self._source.parent, self._source.name)
            except CorralError:
                return  # it has just got its final name: the rest is copied in the end
            self._copy = SealingCopy(self._folder, self._max_bytes)
        self._copy.take(self._fd, min(ready_bytes, self._copy.size_bytes + _STEP_BYTES))

    def seal(self, fd: int, claimed: Digest, moved: Moved) -> SealedBlob:
        """Copy the rest of the complete file and return the copy.

        Args:
            fd: of the complete file.
            claimed: digest of it, as the job says.
            moved: called with (bytes done, bytes in all).

        Raises:
            CorralError: codes `too_large`, `no_space`, `copy_failed`; nothing is left.
        """
        followed = self._copy is not None and os.path.sameopenfile(self._fd, fd)
        if not followed:
            self._start_over()
        copy = self._copy or SealingCopy(self._folder, self._max_bytes)
        self._copy = copy
        copy.take(fd, None, moved)
        if followed and copy.digest != claimed:
            self._start_over()
            return self.seal(fd, claimed, moved)
        blob = copy.finish()
        self._copy = None
        self._start_over()
        return blob

    def _start_over(self) -> None:
        if self._copy is not None:
            self._copy.abandon()
        if self._fd >= 0:
            os.close(self._fd)
        self._copy, self._fd = None, -1
