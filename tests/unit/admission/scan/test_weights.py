"""Padding that carries something, and weights that are no numbers."""

import struct
from dataclasses import replace

import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from corral.admission.scan.weights import _PLAIN, _SCALES
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
