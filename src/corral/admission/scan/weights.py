"""Look at the tensor data itself: padding that hides nothing, and numbers that are numbers.

Trust: scan jail. Input: untrusted file whose layout `tensors` has checked. One pass over the data
in windows of a few MiB. A NaN or an infinity in the scale of a block makes every answer garbage, or
every answer of one trigger; `ggml_validate_row_data` checks the same places.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.tensors import Tensor

_WINDOW_BYTES: Final = 4 << 20
_HALF, _BRAIN, _SINGLE, _DOUBLE = 0x7C00, 0x7F80, 0x7F800000, 0x7FF0000000000000
_PLAIN: Final[dict[str, tuple[str, int]]] = {
    "F16": ("<u2", _HALF), "BF16": ("<u2", _BRAIN), "F32": ("<u4", _SINGLE),
    "F64": ("<u8", _DOUBLE),
}  # fmt: skip
"""Integer type and exponent bits of each kind that is a list of floats."""
_SCALES: Final[dict[str, tuple[int, ...]]] = {
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,), "Q8_1": (0, 2),
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
    "IQ1_S": (0,), "IQ2_XXS": (0,), "IQ2_XS": (0,), "IQ2_S": (0,), "IQ3_XXS": (0,), "IQ3_S": (0,),
    "IQ4_NL": (0,), "IQ4_XS": (0,), "TQ1_0": (52,), "TQ2_0": (64,),
}  # fmt: skip
"""Where the 16-bit scales of a block lie (ggml-common.h)."""


def check_padding(fd: int, tensors: tuple[Tensor, ...], metadata_bytes: int) -> None:
    """Refuse anything but zeros between the metadata, the tensors and the end.

    Raises:
        ScanRefusal: code `padding_bytes`.
    """
    end = metadata_bytes
    for tensor in tensors:
        _check_zeros(fd, end, tensor.offset)
        end = tensor.offset + tensor.size_bytes
    _check_zeros(fd, end, os.fstat(fd).st_size)


def check_finite(fd: int, tensors: tuple[Tensor, ...]) -> None:
    """Refuse NaN and infinity in plain floats and in the scales of blocks.

    Raises:
        ScanRefusal: code `weights_nonfinite`.
    """
    for tensor in tensors:
        if not all(map(_finite(tensor.kind), _windows(fd, tensor))):
            message = "a weight is not a finite number"
            raise ScanRefusal("weights_nonfinite", message, tensor.name.encode())


def _check_zeros(fd: int, start: int, end: int) -> None:
    # The layout rules leave less than one alignment unit (4 KiB) here.
    if start < end and any(os.pread(fd, end - start, start)):
        raise ScanRefusal("padding_bytes", "there is something where padding should be")


def _windows(fd: int, tensor: Tensor) -> Iterator[bytes]:
    _, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[tensor.kind]]
    window = _WINDOW_BYTES // block_bytes * block_bytes
    end = tensor.offset + tensor.size_bytes
    for at in range(tensor.offset, end, window):
        yield os.pread(fd, min(window, end - at), at)


class _finite:  # noqa: N801 - used as the function it is
    """Decides for one kind of tensor whether a window of whole blocks is finite."""

    def __init__(self, kind: str) -> None:
        self._plain = _PLAIN.get(kind)
        self._scales = _SCALES.get(kind, ())
        self._kind = kind
        _, self._block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]

    def __call__(self, window: bytes) -> bool:
        if self._plain is not None:
            form, exponent = self._plain
            return _all_finite(np.frombuffer(window, form), exponent)
        blocks = np.frombuffer(window, np.uint8).reshape(-1, self._block_bytes)
        if self._kind == "MXFP4":
            return not bool((blocks[:, 0] == 0xFF).any())
        if self._kind == "Q8_K":
            return _all_finite(np.ascontiguousarray(blocks[:, :4]).view("<u4"), _SINGLE)
        return all(
            _all_finite(np.ascontiguousarray(blocks[:, at : at + 2]).view("<u2"), _HALF)
            for at in self._scales
        )


def _all_finite(numbers: NDArray[np.unsignedinteger], exponent: int) -> bool:
    mask = numbers.dtype.type(exponent)
    return not bool(((numbers & mask) == mask).any())
