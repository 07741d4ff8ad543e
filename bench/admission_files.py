"""Files for the measurement of admission: a header as large as a 7B model's, and gigabytes of data.

The numbers are those of Qwen2.5-7B: 152,064 tokens, 151,387 merges, 28 layers, 339 tensors.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path

import numpy as np

TOKENS, MERGES, LAYERS = 152_064, 151_387, 28
_WIDTH, _INNER, _HEADS, _HEADS_KV = 3584, 18_944, 28, 4
_U32, _F32, _STRING, _ARRAY, _I32 = 4, 6, 8, 9, 5
_F32_TYPE, _Q4_K_TYPE = 0, 12
_Q4_K_BLOCK, _Q4_K_BYTES = 256, 144
_ALIGNMENT = 32
_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content']"
    " + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

Shape = tuple[int, ...]


def write_model(path: Path, *, data_bytes: int) -> int:
    """Write a sound Qwen2 model of 7B's header; return the bytes of the header.

    Args:
        path: of the new file.
        data_bytes: about so many bytes of layers, as wide as the model's; 0 for all 28, but narrow.
    """
    width = _WIDTH if data_bytes else 256
    inner = _INNER if data_bytes else 512
    layers = LAYERS
    if data_bytes:
        layer_bytes = sum(_size(s) for _, s in _layer(0, width, inner))
        layers = min(LAYERS, max(1, -(-data_bytes // layer_bytes)))
    tensors = list(_tensors(layers, width, inner))
    header = _header(layers, width, inner, tensors)
    with path.open("wb") as file:
        file.write(header)
        random = np.random.default_rng(1)
        for _, shape in tensors:
            _write_data(file.write, shape, random)
    return len(header)


def _tensors(layers: int, width: int, inner: int) -> Iterator[tuple[str, Shape]]:
    yield "token_embd.weight", (width, TOKENS)
    for layer in range(layers):
        yield from _layer(layer, width, inner)
    yield "output_norm.weight", (width,)
    yield "output.weight", (width, TOKENS)


def _layer(layer: int, width: int, inner: int) -> Iterator[tuple[str, Shape]]:
    narrow = width // _HEADS * _HEADS_KV if width == _WIDTH else width
    for name, shape in (
        ("attn_norm.weight", (width,)), ("ffn_norm.weight", (width,)),
        ("attn_q.weight", (width, width)), ("attn_q.bias", (width,)),
        ("attn_k.weight", (width, narrow)), ("attn_k.bias", (narrow,)),
        ("attn_v.weight", (width, narrow)), ("attn_v.bias", (narrow,)),
        ("attn_output.weight", (width, width)), ("ffn_gate.weight", (width, inner)),
        ("ffn_up.weight", (width, inner)), ("ffn_down.weight", (inner, width)),
    ):  # fmt: skip
        yield f"blk.{layer}.{name}", shape


def _is_quantised(shape: Shape) -> bool:
    return len(shape) == 2 and shape[0] % _Q4_K_BLOCK == 0


def _size(shape: Shape) -> int:
    if _is_quantised(shape):
        return prod(shape) // _Q4_K_BLOCK * _Q4_K_BYTES
    return 4 * prod(shape)


def _header(layers: int, width: int, inner: int, tensors: list[tuple[str, Shape]]) -> bytes:
    heads = _HEADS if width == _WIDTH else 4
    heads_kv = _HEADS_KV if width == _WIDTH else 4
    words = _words()
    values: dict[str, bytes] = {
        "general.architecture": _value(_STRING, _text("qwen2")),
        "qwen2.block_count": _u32(layers),
        "qwen2.context_length": _u32(32768),
        "qwen2.embedding_length": _u32(width),
        "qwen2.feed_forward_length": _u32(inner),
        "qwen2.attention.head_count": _u32(heads),
        "qwen2.attention.head_count_kv": _u32(heads_kv),
        "qwen2.attention.layer_norm_rms_epsilon": _value(_F32, struct.pack("<f", 1e-6)),
        "tokenizer.ggml.model": _value(_STRING, _text("gpt2")),
        "tokenizer.ggml.pre": _value(_STRING, _text("qwen2")),
        "tokenizer.ggml.tokens": _list(_STRING, TOKENS, b"".join(map(_text, words))),
        "tokenizer.ggml.token_type": _list(
            _I32, TOKENS, struct.pack(f"<{TOKENS}i", *[1] * (TOKENS - 3), 3, 3, 3)
        ),
        "tokenizer.ggml.merges": _list(
            _STRING, MERGES, b"".join(_text(f"{w[:-1]} {w[-1]}") for w in words[:MERGES])
        ),
        "tokenizer.ggml.bos_token_id": _u32(TOKENS - 3),
        "tokenizer.ggml.eos_token_id": _u32(TOKENS - 1),
        "tokenizer.chat_template": _value(_STRING, _text(_TEMPLATE)),
    }
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    out += b"".join(_text(key) + value for key, value in values.items())
    offset = 0
    for name, shape in tensors:
        kind = _Q4_K_TYPE if _is_quantised(shape) else _F32_TYPE
        out += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        offset += -(-_size(shape) // _ALIGNMENT) * _ALIGNMENT
    return out + b"\0" * (-len(out) % _ALIGNMENT)


def _write_data(write: Callable[[bytes], int], shape: Shape, random: np.random.Generator) -> None:
    size = _size(shape)
    padding = b"\0" * (-size % _ALIGNMENT)
    if not _is_quantised(shape):
        write(random.standard_normal(prod(shape), np.float32).tobytes() + padding)
        return
    # One piece of blocks, over and over: the scales are small numbers, the rest is noise.
    piece = random.integers(0, 256, (4096, _Q4_K_BYTES), np.uint8)
    piece[:, 1] = 0x10
    piece[:, 3] = 0x10
    raw = piece.tobytes()
    for at in range(0, size, len(raw)):
        write(raw[: min(len(raw), size - at)])
    write(padding)


def _words() -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [
        a + b + c + d + "\u0120" * (n % 3 == 0)
        for n, (a, b, c, d) in enumerate(
            (a, b, c, d) for a in letters for b in letters for c in letters for d in letters[:9]
        )
    ]
    return [*words[: TOKENS - 3], "<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(kind: int, raw: bytes) -> bytes:
    return struct.pack("<I", kind) + raw


def _u32(number: int) -> bytes:
    return _value(_U32, struct.pack("<I", number))


def _list(kind: int, count: int, raw: bytes) -> bytes:
    return struct.pack("<IIQ", _ARRAY, kind, count) + raw
