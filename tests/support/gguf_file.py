"""Write small GGUF files, sound ones and broken ones, byte by byte."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Any

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
_FORMS = {U32: "<I", F32: "<f", BOOL: "<B", I32: "<i"}


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


def sound_values() -> dict[str | bytes, bytes]:
    return {
        "general.architecture": scalar(STRING, "llama"),
        "llama.block_count": scalar(U32, 2),
        "llama.context_length": scalar(U32, 2048),
        "llama.embedding_length": scalar(U32, 64),
        "llama.attention.head_count": scalar(U32, 8),
        "llama.attention.head_count_kv": scalar(U32, 2),
        "llama.attention.layer_norm_rms_epsilon": scalar(F32, 1e-5),
        "tokenizer.ggml.tokens": array(STRING, ["<s>", "a", "<|end|>"]),
        "tokenizer.ggml.token_type": array(I32, [3, 1, 3]),
        "tokenizer.chat_template": scalar(STRING, "{{ messages }}"),
    }


@dataclass(frozen=True)
class GgufFile:
    """A file of two tensors that the scanner accepts, unless something is replaced."""

    magic: bytes = b"GGUF"
    version: int = 3
    values: dict[str | bytes, bytes] = field(default_factory=sound_values)
    tensors: tuple[GgufTensor, ...] = (GgufTensor("a.weight"), GgufTensor("b.weight"))
    tail: bytes = b""
    cut_bytes: int = 0

    def with_value(self, key: str | bytes, value: bytes | None) -> GgufFile:
        values = {**self.values}
        values.pop(key, None)
        return replace(self, values=values | ({} if value is None else {key: value}))

    def encode(self) -> bytes:
        out = self.magic + struct.pack("<IQQ", self.version, len(self.tensors), len(self.values))
        for key, value in self.values.items():
            out += text(key) + value
        running = 0
        for t in self.tensors:
            offset = running if t.offset is None else t.offset
            out += text(t.name) + struct.pack("<I", len(t.shape))
            out += struct.pack(f"<{len(t.shape)}Q", *t.shape) + struct.pack("<IQ", t.kind, offset)
            running += t.size_bytes
        out += b"\0" * (-len(out) % 32) + b"\0" * running + self.tail
        return out[: len(out) - self.cut_bytes]
