"""Split a GGUF file into parts, as llama.cpp's tool does: every part with its share of tensors."""

from __future__ import annotations

import struct

from gguf.constants import GGMLQuantizationType

from corral.admission.scan.container import Container, parse_container
from tests.support.open_bytes import opened


def split_gguf(raw: bytes, count: int) -> list[bytes]:
    """Return the parts of a file.

    Args:
        raw: a sound file without `split.*` keys, aligned to 32 bytes.
        count: how many.
    """
    with opened(raw) as fd:
        container = parse_container(fd)
    per_part = -(-len(container.tensors) // count)
    return [_part(raw, container, number, count, per_part) for number in range(count)]


def _part(raw: bytes, container: Container, number: int, count: int, per_part: int) -> bytes:
    tensors = container.tensors[number * per_part : (number + 1) * per_part]
    pairs = b""
    if number == 0:
        pairs = b"".join(raw[o : o + n] for o, n in container.metadata.places.values())
    split = _pair("split.no", 2, "<H", number) + _pair("split.count", 2, "<H", count)
    split += _pair("split.tensors.count", 5, "<i", len(container.tensors))
    keys = 3 + (len(container.metadata.places) if number == 0 else 0)
    described, data = b"", b""
    for tensor in tensors:
        name = tensor.name.encode()
        kind = GGMLQuantizationType[tensor.kind].value
        described += struct.pack("<Q", len(name)) + name
        described += struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        described += struct.pack("<IQ", kind, len(data))
        data += _padded(raw[tensor.offset : tensor.offset + tensor.size_bytes])
    head = b"GGUF" + struct.pack("<IQQ", container.metadata.version, len(tensors), keys)
    return _padded(head + pairs + split + described) + data


def _pair(key: str, kind: int, form: str, value: int) -> bytes:
    return (
        struct.pack("<Q", len(key))
        + key.encode()
        + struct.pack("<I", kind)
        + struct.pack(form, value)
    )


def _padded(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % 32)
