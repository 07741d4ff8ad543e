"""Look at the tensor data itself: padding that hides nothing, and numbers that are numbers.

Trust: scan jail. Input: untrusted file whose layout `tensors` has checked. One pass over the data
in windows that stay in the processor's cache. A NaN or an infinity in the scale of a block makes
every answer garbage, or every answer of one trigger; `ggml_validate_row_data` checks the same
places.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

from corral.admission.report import Finding
from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.tensors import Tensor

_WINDOW_BYTES: Final = 1 << 19
_SECONDS: Final = 20.0
"""A scan that is not deep looks at weights for so long."""
_HALF, _BRAIN, _SINGLE = 0x7C00, 0x7F80, 0x7F800000
_PLAIN: Final[dict[str, tuple[str, int]]] = {
    "F16": ("<u2", _HALF), "BF16": ("<u2", _BRAIN), "F32": ("<u4", _SINGLE),
}  # fmt: skip
"""Integer type and exponent bits of each kind that is a list of floats."""
_SCALES: Final[dict[str, tuple[int, ...]]] = {
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,),
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
    "IQ1_S": (0,), "IQ2_XXS": (0,), "IQ2_XS": (0,), "IQ2_S": (0,), "IQ3_XXS": (0,), "IQ3_S": (0,),
    "IQ4_NL": (0,), "IQ4_XS": (0,), "TQ1_0": (52,), "TQ2_0": (64,), "Q1_0": (0,),
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


def check_finite(
    files: Sequence[tuple[int, tuple[Tensor, ...]]], *, deep: bool, seconds: float = _SECONDS
) -> tuple[Finding, ...]:
    """Refuse NaN and infinity in plain floats and in the scales of blocks.

    Args:
        files: each file with its tensors.
        deep: look at all, however long it takes; else what `seconds` allow.
        seconds: from now.

    Returns:
        What was not looked at.

    Raises:
        ScanRefusal: code `weights_nonfinite`.
    """
    end = time.monotonic() + seconds
    total = sum(tensor.size_bytes for _, tensors in files for tensor in tensors)
    seen = 0
    for fd, tensors in files:
        for tensor in tensors:
            finite = _finite_of(tensor.kind)
            if finite is None:
                continue
            for window in _windows(fd, tensor):
                if not finite(window):
                    message = "a weight is not a finite number"
                    raise ScanRefusal("weights_nonfinite", message, tensor.name.encode())
                seen += len(window)
                if not deep and time.monotonic() > end:
                    message = f"only {seen} of {total} bytes of weights were looked at: --deep"
                    return (Finding("weights_unchecked", "info", message),)
    return ()


def _check_zeros(fd: int, start: int, end: int) -> None:
    # The layout rules leave less than one alignment unit (4 KiB) here.
    if start < end and any(os.pread(fd, end - start, start)):
        message = "there is something where padding should be"
        raise ScanRefusal("padding_bytes", message, place=(start, end - start))


def _windows(fd: int, tensor: Tensor) -> Iterator[NDArray[np.uint8]]:
    """Yield the tensor's bytes in whole blocks."""
    _, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[tensor.kind]]
    window = _WINDOW_BYTES // block_bytes * block_bytes
    end = tensor.offset + tensor.size_bytes
    for at in range(tensor.offset, end, window):
        size = min(window, end - at)
        part = os.pread(fd, size, at)
        if len(part) != size:
            raise ScanRefusal("data_extent", "the file ends before its tensor data does")
        yield np.frombuffer(part, np.uint8)


def _finite_of(kind: str) -> Callable[[NDArray[np.uint8]], bool] | None:
    """Return what decides whether whole blocks of one kind are finite; None if they must be."""
    if kind in _PLAIN:
        form, exponent = _PLAIN[kind]
        return lambda window: _all_below(window.view(form), exponent)
    block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[kind]][1]
    if kind == "MXFP4":
        return lambda window: not bool((window[::block_bytes] == 0xFF).any())
    if kind == "IQ1_M":
        return lambda window: _all_below(_scattered_scale(window, block_bytes), _HALF)
    places = _SCALES.get(kind, ())
    if not places:
        return None
    return lambda window: all(_all_below(_column(window, at, block_bytes), _HALF) for at in places)


def _column(window: NDArray[np.uint8], at: int, block_bytes: int) -> NDArray[Any]:
    """Return the 16-bit number at a place of each block, without a copy."""
    blocks = len(window) // block_bytes
    return np.ndarray((blocks,), "<u2", window.data, offset=at, strides=(block_bytes,))


def _scattered_scale(window: NDArray[np.uint8], block_bytes: int) -> NDArray[Any]:
    """Return the scales of IQ1_M, whose four nibbles lie in four words."""
    at = block_bytes - 8
    first, second, third, fourth = (_column(window, at + 2 * n, block_bytes) for n in range(4))
    return (first >> 12) | ((second >> 8) & 0xF0) | ((third >> 4) & 0xF00) | (fourth & 0xF000)


def _all_below(numbers: NDArray[Any], exponent: int) -> bool:
    """Return whether no exponent is all ones: neither NaN nor infinity."""
    if not len(numbers):
        return True
    unsigned = numbers & numbers.dtype.type(np.iinfo(numbers.dtype).max >> 1)
    return bool(unsigned.max() < exponent)
