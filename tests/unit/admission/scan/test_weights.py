"""Padding that carries something, and weights that are no numbers."""

import os
import struct
from dataclasses import replace

import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.tensors import Tensor
from corral.admission.scan.weights import _PLAIN, _SCALES, check_finite
from tests.support.gguf_file import GgufFile, GgufTensor
from tests.support.scanned import worst_code

SOUND = GgufFile()
INFINITY, NAN = struct.pack("<e", float("inf")), struct.pack("<e", float("nan"))


def with_weights(kind: str, data: bytes, elements: int) -> bytes:
    """A file with a tensor of these bytes that no shape rule looks at."""
    number = GGMLQuantizationType[kind].value
    extra = GgufTensor("rope_freqs.weight", (elements,), number, size_bytes=len(data), data=data)
    return replace(SOUND, tensors=(*SOUND.tensors, extra)).encode()


def blocks(kind: str, count: int = 3) -> tuple[bytearray, int, int]:
    elements, size_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    return bytearray(size_bytes * count), elements * count, size_bytes


@pytest.mark.claim("ADM-07")
@pytest.mark.parametrize(
    ("kind", "at"), [(kind, at) for kind, places in _SCALES.items() for at in places]
)
def test_a_scale_that_is_no_number_is_refused(kind: str, at: int) -> None:
    data, elements, size_bytes = blocks(kind)
    assert worst_code(with_weights(kind, bytes(data), elements)) == ("accept", "")
    for bad in (INFINITY, NAN):
        data[2 * size_bytes + at : 2 * size_bytes + at + 2] = bad
        found = worst_code(with_weights(kind, bytes(data), elements))
        assert found == ("reject", "weights_nonfinite")


@pytest.mark.claim("ADM-07")
@pytest.mark.parametrize("kind", _PLAIN)
def test_a_plain_weight_that_is_no_number_is_refused(kind: str) -> None:
    size_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[kind]][1]
    form, exponent = _PLAIN[kind]
    data = bytes(size_bytes * 31) + exponent.to_bytes(size_bytes, "little")
    assert form.endswith(str(size_bytes))
    assert worst_code(with_weights(kind, data, 32)) == ("reject", "weights_nonfinite")
    assert worst_code(with_weights(kind, bytes(size_bytes * 32), 32)) == ("accept", "")


def test_a_block_exponent_that_is_none_is_refused() -> None:
    data, elements, _ = blocks("MXFP4")
    data[17] = 0xFF
    assert worst_code(with_weights("MXFP4", bytes(data), elements)) == (
        "reject", "weights_nonfinite",
    )  # fmt: skip


def test_the_scattered_scale_of_iq1_m_is_put_together() -> None:
    for nibbles, verdict in (
        ((0, 0, 0xC000, 0x7000), "reject"), ((0, 0, 0x8000, 0x7000), "accept"),
        ((0xF000, 0xF000, 0xF000, 0xF000), "reject"), ((0xFFF, 0xFFF, 0xFFF, 0xFFF), "accept"),
    ):  # fmt: skip
        data, elements, size_bytes = blocks("IQ1_M")
        data[2 * size_bytes - 8 : 2 * size_bytes] = struct.pack("<4H", *nibbles)
        assert worst_code(with_weights("IQ1_M", bytes(data), elements))[0] == verdict


@pytest.mark.parametrize("kind", ["Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"])
def test_types_that_weights_never_have_are_refused(kind: str) -> None:
    data, elements, _ = blocks(kind, 32)
    assert worst_code(with_weights(kind, bytes(data), elements)) == ("reject", "tensor_type")


def test_what_there_was_no_time_for_is_a_remark_and_a_deep_scan_takes_it() -> None:
    fd = os.memfd_create("weights")
    os.write(fd, bytes(1 << 20) + b"\xff" * 4)
    tensor = Tensor("w", ((1 << 18) + 1,), "F32", (1 << 18) + 1, (1 << 20) + 4, 0)
    (found,) = check_finite([(fd, (tensor,))], deep=False, seconds=0)
    assert (found.code, found.severity) == ("weights_unchecked", "info")
    with pytest.raises(ScanRefusal, match="weights_nonfinite"):
        check_finite([(fd, (tensor,))], deep=True, seconds=0)
    os.truncate(fd, 1 << 20)
    with pytest.raises(ScanRefusal, match="data_extent"):
        check_finite([(fd, (tensor,))], deep=True)
    os.close(fd)


TINY = GgufTensor("rope_freqs.weight", (4,), 0, size_bytes=16)
BIAS = GgufTensor("blk.0.attn_q.bias", (32,), 0, size_bytes=128)
PADDED = {
    "before the data": (SOUND.tensors, -sum(t.size_bytes for t in SOUND.tensors) - 1),
    "between tensors": ((*SOUND.tensors, TINY, BIAS), -BIAS.size_bytes - 1),
    "at the end": ((*SOUND.tensors, TINY), -1),
}
"""Tensors, and where the last byte of their padding lies, from the end."""


@pytest.mark.claim("ADM-07")
@pytest.mark.parametrize(("tensors", "at"), PADDED.values(), ids=PADDED)
def test_padding_that_carries_something_is_refused(
    tensors: tuple[GgufTensor, ...], at: int
) -> None:
    raw = bytearray(replace(SOUND, tensors=tensors).encode())
    assert (raw[at], worst_code(bytes(raw))) == (0, ("accept", ""))
    raw[at] = 1
    assert worst_code(bytes(raw)) == ("reject", "padding_bytes")
