"""Tensors that are too many, too few, or of another shape than the sizes say."""

from dataclasses import replace

import pytest

from corral.admission.scan.shapes import is_known_name
from tests.support.gguf_file import TOKENS, WIDTH, GgufFile, GgufTensor, of_shape
from tests.support.scanned import worst_code

SOUND = GgufFile()


def without(name: str) -> GgufFile:
    return replace(SOUND, tensors=tuple(t for t in SOUND.tensors if t.name != name))


def with_tensor(tensor: GgufTensor) -> GgufFile:
    kept = tuple(t for t in SOUND.tensors if t.name != tensor.name)
    return replace(SOUND, tensors=(*kept, tensor))


BROKEN: dict[str, tuple[str, GgufFile]] = {
    "a tensor nobody reads": ("tensor_unexpected", with_tensor(of_shape("blk.0.extra.weight", 32))),
    "a layer too many": ("tensor_unexpected", with_tensor(of_shape("blk.2.attn_q.weight", 32, 32))),
    "a layer written otherwise": (
        "tensor_unexpected", with_tensor(of_shape("blk.00.attn_q.weight", 32, 32)),
    ),
    "another architecture's": (
        "tensor_unexpected", with_tensor(of_shape("blk.0.ssm_a.weight", 32)),
    ),
    "no embeddings": ("tensor_missing", without("token_embd.weight")),
    "no last norm": ("tensor_missing", without("output_norm.weight")),
    "no values": ("tensor_missing", without("blk.1.attn_v.weight")),
    "no way down": ("tensor_missing", without("blk.1.ffn_down.weight")),
    "queries too narrow": ("tensor_shape", with_tensor(of_shape("blk.0.attn_q.weight", 32, 16))),
    "keys too wide": ("tensor_shape", with_tensor(of_shape("blk.0.attn_k.weight", 32, 32))),
    "way down transposed": ("tensor_shape", with_tensor(of_shape("blk.0.ffn_down.weight", 64, 32))),
    "a third dimension": ("tensor_shape", with_tensor(of_shape("blk.0.attn_q.weight", 32, 32, 2))),
    "embeddings too narrow": (
        "tensor_shape", with_tensor(of_shape("token_embd.weight", WIDTH // 2, len(TOKENS))),
    ),
    "more embeddings than tokens": (
        "vocab_tensor_shape", with_tensor(of_shape("token_embd.weight", WIDTH, len(TOKENS) + 1)),
    ),
    "fewer outputs than tokens": (
        "vocab_tensor_shape", with_tensor(of_shape("output.weight", WIDTH, len(TOKENS) - 1)),
    ),
}  # fmt: skip


@pytest.mark.claim("ADM-07")
@pytest.mark.parametrize(("code", "file"), BROKEN.values(), ids=BROKEN)
def test_a_tensor_is_refused_by_its_code(code: str, file: GgufFile) -> None:
    assert worst_code(file.encode()) == ("reject", code)


@pytest.mark.claim("ADM-07")
def test_an_empty_layer_is_refused() -> None:
    kept = tuple(t for t in SOUND.tensors if not str(t.name).startswith("blk.1."))
    assert worst_code(replace(SOUND, tensors=kept).encode()) == ("reject", "tensor_missing")


def test_an_output_of_its_own_and_a_bias_are_accepted() -> None:
    file = with_tensor(of_shape("output.weight", WIDTH, len(TOKENS)))
    file = replace(file, tensors=(*file.tensors, of_shape("blk.0.attn_q.bias", WIDTH)))
    assert worst_code(file.encode()) == ("accept", "")


@pytest.mark.parametrize(
    ("name", "arch", "known"),
    [("blk.3.attn_q.weight", "llama", True), ("blk.3.attn_q.lora_a", "llama", False),
     ("rope_freqs.weight", "qwen3", True), ("blk.x.attn_q.weight", "llama", False),
     ("token_embd", "llama", True), ("enc.blk.0.attn_q.weight", "t5", True)],
)  # fmt: skip
def test_names(name: str, arch: str, *, known: bool) -> None:
    assert is_known_name(name, arch) is known
