"""Plan the one file that the parts of a model are together.

Trust: scan jail. Input: untrusted parts, whose structure and belonging together were checked. The
file has the first part's pairs without those of the split, and the tensors in the parts' order:
what a splitting tool made of a file becomes that very file again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from gguf.constants import GGMLQuantizationType

from corral.admission.scan.container import Container
from corral.admission.scan.merge_plan import MergePlan, Piece
from corral.admission.scan.split import SPLIT_KEYS
from corral.admission.scan.tensors import Tensor, alignment_of


def plan_merge(parts: Sequence[Container]) -> MergePlan:
    """Return how the file is put together.

    Args:
        parts: in their order.
    """
    first = parts[0].metadata
    alignment = alignment_of(first)
    tensors = [(number, tensor) for number, part in enumerate(parts) for tensor in part.tensors]
    kept = sorted(place for key, place in first.places.items() if key not in SPLIT_KEYS)
    head = b"GGUF" + struct.pack("<IQQ", first.version, len(tensors), len(kept))
    described, offset = bytearray(), 0
    for _, tensor in tensors:
        described += _description(tensor, offset)
        offset += _padded(tensor.size_bytes, alignment)
    ends = len(head) + sum(length for _, length in kept) + len(described)
    described += bytes(_padded(ends, alignment) - ends)
    return MergePlan((
        Piece(head),
        *(Piece(part=0, offset=begin, length=length) for begin, length in _joined(kept)),
        Piece(bytes(described)),
        *_data(tensors, alignment),
    ))  # fmt: skip


def _data(tensors: Sequence[tuple[int, Tensor]], alignment: int) -> Iterator[Piece]:
    for number, tensor in tensors:
        yield Piece(part=number, offset=tensor.offset, length=tensor.size_bytes)
        padding = _padded(tensor.size_bytes, alignment) - tensor.size_bytes
        if padding:
            yield Piece(bytes(padding))


def _description(tensor: Tensor, offset: int) -> bytes:
    name = tensor.name.encode()
    return (
        struct.pack("<Q", len(name))
        + name
        + struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        + struct.pack("<IQ", GGMLQuantizationType[tensor.kind].value, offset)
    )


def _joined(places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    begin, length = 0, 0
    for offset, more in places:
        if offset != begin + length and length:
            yield begin, length
            length = 0
        begin = offset if not length else begin
        length += more
    if length:
        yield begin, length


def _padded(size_bytes: int, alignment: int) -> int:
    return (size_bytes + alignment - 1) // alignment * alignment
