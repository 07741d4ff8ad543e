"""Write a LoRA adapter for a real model, with the `gguf` library: what it does shows in answers."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np


def write_adapter(
    base: Path, file: Path, *, alpha: float = 32.0, seed: int = 1, embeddings: bool = False
) -> None:
    """Write an adapter for the last block of a llama.

    Args:
        base: the model's GGUF file.
        file: to be written.
        alpha: how much it says; the last block's output is drowned by 32.
        seed: of its numbers.
        embeddings: for the token embeddings too, whose matrices lie the other way round. Where they
            are the output as well, as in SmolLM2, that ends the engine at the first token.
    """
    shapes = {tensor.name: tensor.shape for tensor in gguf.GGUFReader(base).tensors}
    last = max(int(name.split(".")[1]) for name in shapes if name.startswith("blk."))
    random, rank = np.random.default_rng(seed), 4
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for part in ("ffn_down", "attn_output"):
        name = f"blk.{last}.{part}.weight"
        inner, outer = (int(size) for size in shapes[name])
        for letter, shape in (("a", (rank, inner)), ("b", (outer, rank))):
            numbers = random.standard_normal(shape).astype(np.float32) * 0.1
            writer.add_tensor(f"{name}.lora_{letter}", numbers)
    if embeddings:
        width, tokens = (int(size) for size in shapes["token_embd.weight"])
        for letter, shape in (("a", (tokens, rank)), ("b", (width, rank))):
            writer.add_tensor(f"token_embd.weight.lora_{letter}", np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
