"""LoRA adapters: pairs of matrices that fit each other, and their base where it is known.

Trust: scan jail. Input: untrusted values and names, already well formed. llama.cpp aborts the
process at the first decode on ranks that differ (token embeddings) and on a third dimension
(research/artifacts.md, section 2b).
"""

from __future__ import annotations

from typing import Final

from gguf.constants import MODEL_ARCH_NAMES

from corral.admission.scan.base import Base
from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.metadata import FLOAT32, UINT32
from corral.admission.scan.shapes import is_known_name
from corral.admission.scan.tensors import Tensor
from corral.admission.scan.values import Values

_RANK: Final = 1024
_SCALE: Final = 64.0
_TOKENS: Final = 1 << 19
_INVOCATION: Final = 1024
_EMBEDDINGS: Final = "token_embd.weight"


def check_adapter(
    values: Values, tensors: tuple[Tensor, ...], base: Base | None = None, scale: float = 1.0
) -> None:
    """Hold an adapter against itself, and against its base where given.

    Args:
        values: of its metadata.
        tensors: its matrices.
        base: the model that it is for.
        scale: with which it will be laid over the base.

    Raises:
        ScanRefusal: codes `artifact_type`, `lora_arch`, `lora_scale`, `lora_shape`, `lora_target`,
            `token_id`.
    """
    if values.text("adapter.type", "") != "lora":
        raise ScanRefusal("artifact_type", "the adapter is of no known kind")
    arch = values.text("general.architecture", "")
    if arch not in MODEL_ARCH_NAMES.values():
        raise ScanRefusal("lora_arch", "the architecture is not a known one", arch.encode())
    if base is not None and arch != base.sizes.architecture:
        raise ScanRefusal("lora_arch", "the base is of another architecture", arch.encode())
    _check_invocation(values, base)
    alpha = values.number("adapter.lora.alpha", "lora_scale", -1e6, 1e6)
    if alpha is None:
        raise ScanRefusal("lora_scale", "the adapter has no scale")
    if values.value("adapter.lora.alpha").kind != FLOAT32:
        # The engine aborts on any other type.
        raise ScanRefusal("kv_type_expected", "the adapter's scale is not a 32-bit float")
    by_name = {tensor.name: tensor for tensor in tensors}
    for name in by_name:
        target, dot, part = name.rpartition(".")
        if not dot or part not in {"lora_a", "lora_b"} or not is_known_name(target, arch):
            raise ScanRefusal("lora_target", "a tensor is for no part of a model", name.encode())
        down, up = by_name.get(f"{target}.lora_a"), by_name.get(f"{target}.lora_b")
        if down is None or up is None:
            raise ScanRefusal("lora_target", "a matrix has no partner", name.encode())
        _check_pair(target, down, up, alpha * scale, base.tensors if base else None)


def _check_invocation(values: Values, base: Base | None) -> None:
    """An activated adapter begins to work behind some tokens, which must exist."""
    key = "adapter.alora.invocation_tokens"
    found = values.array(key)
    if found is None:
        return
    most = len(base.vocabulary.tokens) if base else _TOKENS
    if found.kind != UINT32 or not 1 <= len(found.items) <= _INVOCATION:
        raise ScanRefusal("token_id", "the tokens that begin an adapter's work are no list")
    if max(int(item) for item in found.items) >= most:
        raise ScanRefusal("token_id", "a token id is not in the vocabulary", key.encode())


def _check_pair(
    target: str, down: Tensor, up: Tensor, alpha: float, base: dict[str, Tensor] | None
) -> None:
    wrong = ScanRefusal("lora_shape", "two matrices do not fit each other", target.encode())
    if len(down.shape) != 2 or len(up.shape) != 2:
        raise wrong
    # The embeddings' first matrix lies the other way round, as they are looked up by rows.
    rank, inner, outer = down.shape[1], down.shape[0], up.shape[1]
    if target == _EMBEDDINGS:
        rank, inner, outer = down.shape[0], up.shape[1], down.shape[1]
    if rank != up.shape[0] or rank > _RANK:
        raise wrong
    if abs(alpha) / rank > _SCALE:
        raise ScanRefusal("lora_scale", "the adapter drowns its base", target.encode())
    if base is None:
        return
    if target not in base:
        raise ScanRefusal("lora_target", "the base has no such tensor", target.encode())
    if base[target].shape[:2] != (inner, outer) or len(base[target].shape) > 2:
        raise ScanRefusal("lora_shape", "a matrix does not fit the base", target.encode())
