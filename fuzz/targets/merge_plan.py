"""The plan by which a scan jail has the parts of a model joined: none, or one within its bounds."""

from __future__ import annotations

from corral.admission.scan.merge_plan import (
    LITERAL_BYTES,
    MergePlan,
    Piece,
    encode_merge_plan,
    parse_merge_plan,
)
from fuzz.target import Target

_SIZES = (4096, 0, 1 << 40)
_SOUND = encode_merge_plan(
    MergePlan(
        (Piece(literal=b"GGUF"), Piece(part=0, offset=96, length=4000), Piece(part=2, length=9))
    )
)


def check(data: bytes) -> None:
    """Parse the plan and see that each of its pieces is where the parts are."""
    plan = parse_merge_plan(data, _SIZES)
    if plan is None:
        return
    for piece in plan.merge:
        if piece.length and not 0 <= piece.offset <= _SIZES[piece.part] - piece.length:
            raise AssertionError("a piece is in no part")
    own = sum(len(piece.literal) for piece in plan.merge)
    if own > LITERAL_BYTES or plan.size_bytes > sum(_SIZES) + LITERAL_BYTES:
        raise AssertionError("the file is larger than its parts allow")
    if parse_merge_plan(encode_merge_plan(plan), _SIZES) != plan:
        raise AssertionError("a plan changes when it is written again")


TARGET = Target("merge_plan", check, (_SOUND, b'{"merge":[]}', b'{"merge":[["AA==",0,0,0]]}'))
