"""How the parts of a model become one file: byte ranges of the parts, and small bytes between.

Trust: operator side and scan jail; no I/O. Input of `parse_merge_plan`: a line of a scan job,
hostile. A plan can only name bytes of the parts and bring a bounded number of its own; the file
that comes of it is scanned like any other before anything believes in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

LITERAL_BYTES: Final = 2 << 20
"""Most bytes of the file that are in no part: header and tensor descriptions."""
_PIECES: Final = 1 << 16
_Bytes = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Piece(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What comes next in the file.

    Attributes:
        literal: these bytes, and nothing of a part; or none.
        part: number of a part, from 0.
        offset: first byte in it.
        length: bytes of it.
    """

    literal: Annotated[bytes, Meta(max_length=LITERAL_BYTES)] = b""
    part: Annotated[int, Meta(ge=0, lt=999)] = 0
    offset: _Bytes = 0
    length: _Bytes = 0


class MergePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file, piece by piece."""

    merge: Annotated[tuple[Piece, ...], Meta(max_length=_PIECES)]

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return sum(len(piece.literal) + piece.length for piece in self.merge)


_decoder: Final = msgspec.json.Decoder(MergePlan)


def encode_merge_plan(plan: MergePlan) -> bytes:
    """Return the plan as one line."""
    return msgspec.json.encode(plan) + b"\n"


def parse_merge_plan(line: bytes, sizes_bytes: Sequence[int]) -> MergePlan | None:
    """Return the plan in a line, or None if it is none that can be carried out within bounds.

    Args:
        line: of the job.
        sizes_bytes: of the parts.
    """
    try:
        plan = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    inside = all(
        piece.part < len(sizes_bytes) and piece.offset + piece.length <= sizes_bytes[piece.part]
        for piece in plan.merge
    )
    literal_bytes = sum(len(piece.literal) for piece in plan.merge)
    if not inside or literal_bytes > LITERAL_BYTES:
        return None
    return plan if plan.size_bytes <= sum(sizes_bytes) + LITERAL_BYTES else None
