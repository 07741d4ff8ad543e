"""Write small GGUF files, sound ones and broken ones, byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

U8, U16, U32, I32, F32, BOOL, STRING, ARRAY = 0, 2, 4, 5, 6, 7, 8, 9
_FORMS = {U8: "<B", U16: "<H", U32: "<I", F32: "<f", BOOL: "<B", I32: "<i"}


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def scalar(kind: int, value: Any) -> bytes:
    body = text(value) if kind == STRING else struct.pack(_FORMS[kind], value)
    return struct.pack("<I", kind) + body


def array(kind: int, values: list[Any]) -> bytes:
    items = [text(v) if kind == STRING else struct.pack(_FORMS[kind], v) for v in values]
    return struct.pack("<IIQ", ARRAY, kind, len(values)) + b"".join(items)


@dataclass(frozen=True)
class GgufTensor:
    name: str | bytes
    shape: tuple[int, ...] = (32,)
    kind: int = 0
    offset: int | None = None
    size_bytes: int = 128
    data: bytes = b""


WIDTH, LAYERS, HEADS, HEADS_KV, TOKENS = 32, 2, 4, 2, ("<s>", "a", "<|end|>")
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<s>' + message['role'] + ' ' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<s>assistant ' }}{% endif %}"
)


def sound_values() -> dict[str | bytes, bytes]:
    return {
        "general.architecture": scalar(STRING, "llama"),
        "llama.block_count": scalar(U32, LAYERS),
        "llama.context_length": scalar(U32, 2048),
        "llama.embedding_length": scalar(U32, WIDTH),
        "llama.feed_forward_length": scalar(U32, WIDTH),
        "llama.attention.head_count": scalar(U32, HEADS),
        "llama.attention.head_count_kv": scalar(U32, HEADS_KV),
        "llama.attention.layer_norm_rms_epsilon": scalar(F32, 1e-5),
        "tokenizer.ggml.model": scalar(STRING, "llama"),
        "tokenizer.ggml.tokens": array(STRING, list(TOKENS)),
        "tokenizer.ggml.scores": array(F32, [0.0] * len(TOKENS)),
        "tokenizer.ggml.token_type": array(I32, [3, 1, 3]),
        "tokenizer.ggml.bos_token_id": scalar(U32, 0),
        "tokenizer.ggml.eos_token_id": scalar(U32, 2),
        "tokenizer.chat_template": scalar(STRING, TEMPLATE),
    }


def of_shape(name: str, *shape: int) -> GgufTensor:
    return GgufTensor(name, shape, size_bytes=4 * prod(shape))


def sound_tensors(kv: tuple[int, ...] = (HEADS_KV,) * LAYERS) -> tuple[GgufTensor, ...]:
    """All tensors of a small llama; `kv` has the key-value heads of each layer."""
    head = WIDTH // HEADS
    found = [
        of_shape("token_embd.weight", WIDTH, len(TOKENS)),
        of_shape("output_norm.weight", WIDTH),
    ]
    for layer, heads in enumerate(kv):
        block = f"blk.{layer}"
        found += [of_shape(f"{block}.{n}.weight", WIDTH) for n in ("attn_norm", "ffn_norm")]
        found += [
            of_shape(f"{block}.{n}.weight", WIDTH, WIDTH)
            for n in ("attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
        ]
        if heads:
            found += [
                of_shape(f"{block}.{n}.weight", WIDTH, heads * head) for n in ("attn_k", "attn_v")
            ]
    return tuple(found)


@dataclass(frozen=True)
class GgufFile:
    """A small llama that the scanner accepts, unless something is replaced."""

    magic: bytes = b"GGUF"
    version: int = 3
    values: dict[str | bytes, bytes] = field(default_factory=sound_values)
    tensors: tuple[GgufTensor, ...] = field(default_factory=sound_tensors)
    tail: bytes = b""
    cut_bytes: int = 0

    def with_value(self, key: str | bytes, value: bytes | None) -> GgufFile:
        values = {**self.values}
        values.pop(key, None)
        return replace(self, values=values | ({} if value is None else {key: value}))

    def with_values(self, changes: Mapping[str | bytes, bytes | None]) -> GgufFile:
        file = self
        for key, value in changes.items():
            file = file.with_value(key, value)
        return file

    def encode(self) -> bytes:
        out = self.magic + struct.pack("<IQQ", self.version, len(self.tensors), len(self.values))
        for key, value in self.values.items():
            out += text(key) + value
        running = 0
        data = b""
        for t in self.tensors:
            offset = running if t.offset is None else t.offset
            out += text(t.name) + struct.pack("<I", len(t.shape))
            out += struct.pack(f"<{len(t.shape)}Q", *t.shape) + struct.pack("<IQ", t.kind, offset)
            data += t.data or b"\0" * t.size_bytes
            data += b"\0" * (-len(data) % 32)
            running = len(data)
        out += b"\0" * (-len(out) % 32) + data + self.tail
        return out[: len(out) - self.cut_bytes]


def parts_of(file: GgufFile, count: int) -> list[GgufFile]:
    """Split a model as `gguf-split` does."""
    size = -(-len(file.tensors) // count)
    return [
        replace(
            file,
            tensors=file.tensors[number * size : (number + 1) * size],
            values=(file.values if number == 0 else {})
            | {
                "split.no": scalar(U16, number),
                "split.count": scalar(U16, count),
                "split.tensors.count": scalar(I32, len(file.tensors)),
            },
        )
        for number in range(count)
    ]


def part_names(count: int, prefix: str = "m") -> list[str]:
    return [f"{prefix}-{number + 1:05d}-of-{count:05d}.gguf" for number in range(count)]
