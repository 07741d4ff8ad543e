"""Write a projector for a real model, with the `gguf` library, and pictures for it."""

from __future__ import annotations

import io
from pathlib import Path

import gguf
import numpy as np
from PIL import Image


def write_projector(
    file: Path, *, width: int, sides: tuple[int, int] = (32, 8), seed: int = 1, gain: float = 5.0
) -> None:
    """Write a projector of gemma3's kind: one layer, random numbers, 4 tokens for each image.

    Args:
        file: to be written.
        width: of the model.
        sides: of an image and of a patch, in pixels.
        seed: of its numbers.
        gain: how loud its output is; the answer follows the image from about 1 on.
    """
    random, (image, patch), inner = np.random.default_rng(seed), sides, 32
    writer = gguf.GGUFWriter(file, "clip")
    writer.add_string("general.type", "mmproj")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_bool("clip.use_gelu", True)
    writer.add_string("clip.projector_type", "gemma3")
    for name, number in (
        ("image_size", image), ("patch_size", patch), ("embedding_length", inner),
        ("feed_forward_length", 2 * inner), ("projection_dim", width), ("block_count", 1),
        ("attention.head_count", 2), ("projector.scale_factor", 2),
    ):  # fmt: skip
        writer.add_uint32(f"clip.vision.{name}", number)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.5] * 3)
    writer.add_array("clip.vision.image_std", [0.5] * 3)

    def tensor(name: str, *shape: int, loud: float = 0.2) -> None:
        writer.add_tensor(name, (random.standard_normal(shape) * loud).astype(np.float32))

    def norm(name: str, *, bias: bool = True) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(inner, np.float32))
        if bias:
            tensor(f"{name}.bias", inner)

    tensor("v.patch_embd.weight", inner, 3, patch, patch)
    tensor("v.patch_embd.bias", inner)
    tensor("v.position_embd.weight", (image // patch) ** 2, inner)
    for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
        tensor(f"v.blk.0.{name}.weight", inner, inner)
        tensor(f"v.blk.0.{name}.bias", inner)
    for name, rows, columns in (("ffn_up", 2 * inner, inner), ("ffn_down", inner, 2 * inner)):
        tensor(f"v.blk.0.{name}.weight", rows, columns)
        tensor(f"v.blk.0.{name}.bias", rows)
    for name in ("v.blk.0.ln1", "v.blk.0.ln2", "v.post_ln"):
        norm(name)
    norm("mm.soft_emb_norm", bias=False)
    tensor("mm.input_projection.weight", inner, width, loud=0.2 * gain)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def picture(colour: str, size: tuple[int, int] = (40, 30)) -> bytes:
    """Return a PNG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()
