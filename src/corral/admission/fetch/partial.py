"""What is there of a file that is not complete: its bytes, and a note of what they belong to.

Trust: fetch jail. Input: files that an earlier run of the same source left, which may have been
taken over: they decide where a download goes on, never what is admitted.

    NAME.part        the bytes; behind the first gap there may be more
    NAME.part.json   of which address and version they are, and which parts are there
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from corral.core.limits import MIB

SEGMENT_BYTES: Final = 32 * MIB
"""What one connection fetches at a time where several do."""
_SEGMENTS: Final = 1 << 20


class Saved(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of an incomplete file.

    Attributes:
        url_sha256: of the address; its query may be a credential, so it is not kept itself.
        sha256: demanded digest; empty if none.
        validator: strong ETag, or a date; empty if the server gives none.
        got: bytes from the start of each segment; empty: there is no gap.
        segment_bytes: length of a segment.
    """

    url_sha256: str
    sha256: str
    validator: str
    got: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(max_length=_SEGMENTS)] = []
    segment_bytes: Annotated[int, Meta(gt=0)] = SEGMENT_BYTES


@dataclass(frozen=True, slots=True)
class Partial:
    """The two files beside a target; each step leaves them true, wherever the job is ended."""

    target: Path

    @property
    def part(self) -> Path:
        """The bytes."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def note(self) -> Path:
        """What is known of them."""
        return self.target.with_name(self.target.name + ".part.json")

    def size(self) -> int:
        """Return where the bytes end, gaps counted."""
        with suppress(FileNotFoundError):
            return self.part.stat().st_size
        return 0

    def load(self, url: str, sha256: str) -> Saved | None:
        """Return the note if it is of this address and demanded digest."""
        try:
            saved = msgspec.json.decode(self.note.read_bytes(), type=Saved)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        same = saved.url_sha256 == _sha256(url) and saved.sha256 == sha256
        return saved if same else None

    def prefix(self, saved: Saved | None) -> int:
        """Return how many bytes there are before the first gap."""
        if saved is None:
            return 0
        size = self.size()
        return min(contiguous(saved.got, saved.segment_bytes), size) if saved.got else size

    def keep(
        self,
        url: str,
        sha256: str,
        validator: str,
        got: Sequence[int] = (),
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Write the note, whole or not at all; what it claims must be on the disk before."""
        saved = Saved(_sha256(url), sha256, validator[:1024], [*got], segment_bytes)
        new = self.note.with_name(self.note.name + ".new")
        new.write_bytes(msgspec.json.encode(saved))
        new.replace(self.note)

    def cut(self, size_bytes: int) -> None:
        """Take away what is behind a gap, before a note is written that knows of none."""
        if self.size() > size_bytes:
            with self.part.open("r+b") as file:
                file.truncate(size_bytes)

    def complete(self) -> None:
        """Give the file its name."""
        self.part.replace(self.target)
        self.note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove both files."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def contiguous(got: Sequence[int], segment_bytes: int) -> int:
    """Return the bytes before the first gap, by what there is of each segment."""
    whole = 0
    for one in got:
        if one < segment_bytes:
            return whole + one
        whole += one
    return whole


def _sha256(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
