"""Sound files that are no models: an adapter, a control vector, a projector."""

from __future__ import annotations

from dataclasses import replace

from tests.support.gguf_file import (
    BOOL,
    F32,
    STRING,
    TOKENS,
    U32,
    WIDTH,
    GgufFile,
    array,
    of_shape,
    scalar,
)  # fmt: skip

LORA = GgufFile(
    values={
        "general.architecture": scalar(STRING, "llama"),
        "general.type": scalar(STRING, "adapter"),
        "adapter.type": scalar(STRING, "lora"),
        "adapter.lora.alpha": scalar(F32, 8),
    },
    tensors=(
        of_shape("blk.0.attn_q.weight.lora_a", 64, 4), of_shape("blk.0.attn_q.weight.lora_b", 4, 64)
    ),
)  # fmt: skip
VECTOR = GgufFile(
    values={
        "general.architecture": scalar(STRING, "controlvector"),
        "controlvector.layer_count": scalar(U32, 4),
    },
    tensors=(of_shape("direction.1", 64), of_shape("direction.4", 64)),
)
PROJECTOR = GgufFile(
    values={
        "general.architecture": scalar(STRING, "clip"),
        "general.type": scalar(STRING, "mmproj"),
        "clip.has_vision_encoder": scalar(BOOL, 1),
        "clip.projector_type": scalar(STRING, "mlp"),
        "clip.vision.image_size": scalar(U32, 336),
        "clip.vision.patch_size": scalar(U32, 14),
        "clip.vision.embedding_length": scalar(U32, 64),
        "clip.vision.feed_forward_length": scalar(U32, 64),
        "clip.vision.block_count": scalar(U32, 2),
        "clip.vision.projection_dim": scalar(U32, 64),
        "clip.vision.attention.head_count": scalar(U32, 4),
        "clip.vision.attention.layer_norm_epsilon": scalar(F32, 1e-5),
        "clip.vision.image_mean": array(F32, [0.5] * 3),
        "clip.vision.image_std": array(F32, [0.5] * 3),
    },
    tensors=(),
)
ADAPTER = replace(
    LORA,
    tensors=(
        of_shape("blk.0.attn_q.weight.lora_a", WIDTH, 4),
        of_shape("blk.0.attn_q.weight.lora_b", 4, WIDTH),
        of_shape("token_embd.weight.lora_a", 4, len(TOKENS)),
        of_shape("token_embd.weight.lora_b", 4, WIDTH),
    ),
)
"""Fits the model of `GgufFile`."""
