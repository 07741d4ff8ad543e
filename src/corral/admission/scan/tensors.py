"""Strict parser of GGUF tensor descriptions: names, shapes, types, and where their data lies.

Trust: scan jail. Input: untrusted file; integers have arbitrary precision here, so no product and
no padding can wrap. The data must fill the rest of the file exactly: nothing overlaps, nothing is
missing and nothing is hidden behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from corral.admission.scan.cursor import Cursor, ScanRefusal
from corral.admission.scan.metadata import UINT32, Metadata

_NAME: Final = re.compile(rb"[A-Za-z0-9_.\-]+")
_NAME_BYTES: Final = 63
_ELEMENTS: Final = (1 << 63) - 1
_NO_WEIGHTS: Final = frozenset({"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"})
"""Intermediate results, indices, and what converters never write."""
_ALIGNMENTS: Final = frozenset({32, 64, 128, 256, 512, 1024, 2048, 4096})


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor.

    Attributes:
        shape: dimensions, fastest first.
        kind: ggml type name, e.g. `Q4_1`.
        offset: where its data begins in the file.
        described: offset and length of its description, in bytes.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    elements: int
    size_bytes: int
    offset: int
    described: tuple[int, int] = (0, 0)


def parse_tensors(cursor: Cursor, metadata: Metadata) -> tuple[Tensor, ...]:
    """Read the tensor descriptions and check that their data is all there and nothing else.

    Raises:
        ScanRefusal: the first rule that the file breaks.
    """
    alignment = alignment_of(metadata)
    tensors: list[Tensor] = []
    names: set[str] = set()
    expected_offset = 0
    for _ in range(metadata.tensor_count):
        tensor = _tensor(cursor)
        raw = tensor.name.encode()
        if tensor.name in names:
            raise ScanRefusal("tensor_duplicate", "a tensor name occurs twice", raw)
        if tensor.offset != expected_offset:
            raise ScanRefusal("offset", "tensor data is not laid out one after the other", raw)
        expected_offset = _padded(tensor.offset + tensor.size_bytes, alignment)
        names.add(tensor.name)
        tensors.append(tensor)
    data_start = _padded(cursor.offset, alignment)
    if not tensors:
        _check_extent(cursor.size_bytes, cursor.offset, data_start)
        return ()
    unpadded = data_start + tensors[-1].offset + tensors[-1].size_bytes
    _check_extent(cursor.size_bytes, unpadded, data_start + expected_offset)
    return tuple(replace(tensor, offset=data_start + tensor.offset) for tensor in tensors)


def check_kinds(tensors: tuple[Tensor, ...]) -> None:
    """Refuse types that weights never have: engines have no multiplication for them.

    Raises:
        ScanRefusal: code `tensor_type`.
    """
    for tensor in tensors:
        if tensor.kind in _NO_WEIGHTS:
            message = "a tensor has a type that weights never have"
            raise ScanRefusal("tensor_type", message, tensor.name.encode())


def _tensor(cursor: Cursor) -> Tensor:
    begin = cursor.item = cursor.offset
    length = cursor.u64()
    if not 1 <= length <= _NAME_BYTES:
        raise ScanRefusal("tensor_name_length", "a tensor name is empty or too long")
    raw = cursor.take(length)
    if not _NAME.fullmatch(raw):
        raise ScanRefusal("tensor_name_charset", "a tensor name has an unusual character", raw)
    dimensions = cursor.u32()
    if not 1 <= dimensions <= 4:
        raise ScanRefusal("n_dims", "a tensor has not 1 to 4 dimensions", raw)
    shape = tuple(cursor.u64() for _ in range(dimensions))
    kind, offset = cursor.u32(), cursor.u64()
    if any(side == 0 or side > _ELEMENTS for side in shape):
        raise ScanRefusal("ne", "a tensor has an empty or impossible dimension", raw)
    elements = 1
    for side in shape:
        elements *= side
    if elements > _ELEMENTS:
        raise ScanRefusal("ne_overflow", "a tensor has more elements than can be counted", raw)
    try:
        known = GGMLQuantizationType(kind)
        block, block_bytes = GGML_QUANT_SIZES[known]
    except (ValueError, KeyError) as error:
        raise ScanRefusal("tensor_type", "a tensor has an unknown or removed type", raw) from error
    if shape[0] % block:
        raise ScanRefusal("block_size", "a tensor row is not a whole number of blocks", raw)
    size_bytes = elements // block * block_bytes
    if size_bytes > _ELEMENTS:
        raise ScanRefusal("nbytes_overflow", "a tensor is larger than any file", raw)
    described = (begin, cursor.offset - begin)
    return Tensor(raw.decode("ascii"), shape, known.name, elements, size_bytes, offset, described)


def _check_extent(size_bytes: int, unpadded: int, padded: int) -> None:
    if unpadded > _ELEMENTS:
        raise ScanRefusal("nbytes_overflow", "the tensors are larger than any file")
    if size_bytes < unpadded:
        message, place = "the file ends before its tensor data does", (size_bytes, 0)
        raise ScanRefusal("data_extent", message, place=place)
    if size_bytes not in {unpadded, padded}:
        message, place = (
            "the file has bytes after its last tensor",
            (unpadded, size_bytes - unpadded),
        )
        raise ScanRefusal("trailing_bytes", message, place=place)


def alignment_of(metadata: Metadata) -> int:
    """Return what tensor data is aligned to, in bytes.

    Raises:
        ScanRefusal: code `alignment`.
    """
    value = metadata.values.get("general.alignment")
    if value is None:
        return 32
    if value.is_array or value.kind != UINT32 or value.items[0] not in _ALIGNMENTS:
        raise ScanRefusal("alignment", "the alignment is not a power of two from 32 to 4096")
    return int(value.items[0])


def _padded(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) // alignment * alignment
