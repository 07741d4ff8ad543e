"""The tensors of a language model: which there must be, which there may be, and their shapes.

Trust: scan jail. Input: untrusted names and shapes, already well formed. The names that an
architecture may have come from the `gguf` library (`MODEL_TENSORS`); the shapes of the common
decoders are written out below. An extra tensor carries data that no engine reads; a missing or
misshapen one is read out of bounds by engines that trust the file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from gguf.constants import MODEL_ARCH_NAMES, MODEL_TENSORS, TENSOR_NAMES

from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.hyperparameters import Hyperparameters
from corral.admission.scan.tensors import Tensor

_PARTS: Final = ("weight", "bias", "scale", "input_scale")
_BLOCK: Final = re.compile(r"((?:enc\.|dec\.)?blk)\.(0|[1-9][0-9]{0,4})\.(.+)")
_EVERYWHERE: Final = frozenset({"rope_freqs", "rope_factors_long", "rope_factors_short"})
"""Tensors of scaled rotations, which converters put into files of any architecture."""
_DECODERS: Final = frozenset(
    {
        "llama", "qwen2", "qwen3", "qwen2moe", "qwen3moe", "gemma", "gemma2", "gemma3", "granite",
        "granitemoe", "smollm3", "internlm2", "exaone", "olmo2", "starcoder2", "stablelm",
        "command-r", "cohere2", "minicpm", "seed_oss", "arcee", "ernie4_5", "hunyuan-dense",
        "mistral3",
    }
)  # fmt: skip
"""Architectures whose blocks are the usual ones: the shapes of `_SHAPES` hold."""
_NEEDED: Final = ("attn_output.weight", "ffn_down.weight")
"""What each block of a dense decoder has, under whatever variant."""

Shape = Callable[[Hyperparameters, int], tuple[int, ...]]


def _queries(size: Hyperparameters, layer: int) -> int:
    return size.heads[layer] * size.key_width


def _inner(size: Hyperparameters, layer: int) -> int:
    return size.feed_forward[layer] if size.feed_forward else 0


_SHAPES: Final[Mapping[str, Shape]] = {
    "attn_norm.weight": lambda s, _: (s.width,),
    "ffn_norm.weight": lambda s, _: (s.width,),
    "attn_q.weight": lambda s, n: (s.width, _queries(s, n)),
    "attn_k.weight": lambda s, n: (s.width, s.heads_kv[n] * s.key_width),
    "attn_v.weight": lambda s, n: (s.width, s.heads_kv[n] * s.value_width),
    "attn_output.weight": lambda s, n: (s.heads[n] * s.value_width, s.width),
    "attn_q.bias": lambda s, n: (_queries(s, n),),
    "attn_k.bias": lambda s, n: (s.heads_kv[n] * s.key_width,),
    "attn_v.bias": lambda s, n: (s.heads_kv[n] * s.value_width,),
    "ffn_gate.weight": lambda s, n: (s.width, _inner(s, n)),
    "ffn_up.weight": lambda s, n: (s.width, _inner(s, n)),
    "ffn_down.weight": lambda s, n: (_inner(s, n), s.width),
    "ffn_gate_inp.weight": lambda s, _: (s.width, s.experts),
}


def check_tensors(tensors: tuple[Tensor, ...], size: Hyperparameters, tokens: int) -> None:
    """Hold the tensors against the architecture, its sizes and the vocabulary.

    Raises:
        ScanRefusal: codes `tensor_unexpected`, `tensor_missing`, `tensor_shape`,
            `vocab_tensor_shape`.
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    blocks: dict[int, set[str]] = defaultdict(set)
    for tensor in tensors:
        block = _BLOCK.fullmatch(tensor.name)
        _check_name(tensor.name, block, size)
        if block is not None and block[1] == "blk":
            blocks[int(block[2])].add(block[3])
            _check_shape(tensor, block[3], int(block[2]), size)
    _check_embeddings(by_name, size, tokens)
    _check_blocks(blocks, size)


def tensor_bases(architecture: str) -> frozenset[str]:
    """Return the names that tensors of an architecture may have, `{bid}` for a block's number."""
    return _bases()[architecture] | _EVERYWHERE


@cache
def _bases() -> Mapping[str, frozenset[str]]:
    return {
        MODEL_ARCH_NAMES[arch]: frozenset(TENSOR_NAMES[kind] for kind in kinds)
        for arch, kinds in MODEL_TENSORS.items()
    }


def is_known_name(name: str, architecture: str) -> bool:
    """Return whether an architecture has a tensor of this name."""
    block = _BLOCK.fullmatch(name)
    general = f"{block[1]}.{{bid}}.{block[3]}" if block else name
    allowed = tensor_bases(architecture)
    base, _, part = general.rpartition(".")
    return general in allowed or (part in _PARTS and base in allowed)


def _check_name(name: str, block: re.Match[str] | None, size: Hyperparameters) -> None:
    if not is_known_name(name, size.architecture):
        raise ScanRefusal("tensor_unexpected", "the architecture has no such tensor", name.encode())
    # Encoder and decoder of one file may differ in depth; both are bounded by the format.
    if block is not None and block[1] == "blk" and int(block[2]) >= size.layers:
        raise ScanRefusal(
            "tensor_unexpected", "a tensor belongs to a layer that is not there", name.encode()
        )


def _check_shape(tensor: Tensor, part: str, layer: int, size: Hyperparameters) -> None:
    rule = _SHAPES.get(part)
    if rule is None or size.architecture not in _DECODERS:
        return
    wanted = rule(size, layer)
    if all(wanted) and _trimmed(tensor.shape) != _trimmed(wanted):
        raise ScanRefusal(
            "tensor_shape", "a tensor has another shape than the sizes say", tensor.name.encode()
        )


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _check_embeddings(by_name: dict[str, Tensor], size: Hyperparameters, tokens: int) -> None:
    if "token_embd.weight" not in by_name:
        raise ScanRefusal("tensor_missing", "the model has no token embeddings")
    for name in ("token_embd.weight", "output.weight"):
        if name not in by_name:
            continue
        shape = _trimmed(by_name[name].shape)
        if shape[0] != size.width or len(shape) > 2:
            raise ScanRefusal(
                "tensor_shape", "a tensor has another shape than the sizes say", name.encode()
            )
        rows = shape[1] if len(shape) == 2 else 1
        if rows != tokens:
            raise ScanRefusal(
                "vocab_tensor_shape", "the vocabulary and its tensor differ", name.encode()
            )
    if size.vocabulary not in {0, tokens}:
        raise ScanRefusal("vocab_size", "the vocabulary has another size than the file says")
    needs_norm = "output_norm" in tensor_bases(size.architecture)
    if size.architecture in _DECODERS and needs_norm and "output_norm.weight" not in by_name:
        raise ScanRefusal("tensor_missing", "the model has no last norm")


def _check_blocks(blocks: dict[int, set[str]], size: Hyperparameters) -> None:
    for layer in range(size.layers):
        there = blocks.get(layer, set())
        if not there:
            raise ScanRefusal("tensor_missing", "a layer has no tensors", f"blk.{layer}".encode())
        if size.architecture not in _DECODERS:
            continue
        needed = _NEEDED if not size.experts else _NEEDED[:1]
        for name in needed:
            if name not in there and size.heads_kv[layer]:
                raise ScanRefusal(
                    "tensor_missing", "a layer lacks a tensor", f"blk.{layer}.{name}".encode()
                )
        if not size.heads_kv[layer] and "attn_k.weight" in there:
            raise ScanRefusal(
                "tensor_unexpected", "a layer without heads has keys", f"blk.{layer}".encode()
            )
        if size.heads_kv[layer] and not _has_attention(there):
            raise ScanRefusal("tensor_missing", "a layer lacks a tensor", f"blk.{layer}".encode())


def _has_attention(there: set[str]) -> bool:
    apart = {"attn_q.weight", "attn_k.weight", "attn_v.weight"} <= there
    return apart or "attn_qkv.weight" in there
