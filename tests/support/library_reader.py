"""What the unchanged `gguf` library reads of a file, beside what our parser reads."""

from __future__ import annotations

import os
import tempfile
import warnings
from typing import Any

from gguf import GGUFReader, GGUFValueType

from corral.admission.scan.container import parse_container

Read = tuple[
    dict[str, tuple[int, bool, list[Any]]], list[tuple[str, tuple[int, ...], str, int, int]]
]


def read_by_library(raw: bytes) -> Read:
    """Return key-value pairs (type, whether a list, items) and tensors, by the library."""
    with tempfile.NamedTemporaryFile() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy, of products that wrap
        file.write(raw)
        file.flush()
        reader = GGUFReader(file.name)
        values: dict[str, tuple[int, bool, list[Any]]] = {}
        for key, field in reader.fields.items():
            if key.startswith("GGUF."):
                continue
            is_list = field.types[0] == GGUFValueType.ARRAY
            kind = int(field.parts[4 if is_list else 2][0]) if is_list else int(field.types[0])
            if is_list:
                kind = int(field.parts[3][0])
            items = [
                bytes(field.parts[at])
                if kind == GGUFValueType.STRING
                else field.parts[at][0].item()
                for at in field.data
            ]
            values[key] = (kind, is_list, items)
        tensors = [
            (
                t.name,
                tuple(map(int, t.shape)),
                t.tensor_type.name,
                int(t.data_offset),
                int(t.n_bytes),
            )
            for t in reader.tensors
        ]
        return values, tensors


def read_by_us(raw: bytes) -> Read:
    """Return the same, by our parser."""
    fd = os.memfd_create("file", os.MFD_CLOEXEC)
    try:
        os.write(fd, raw)
        container = parse_container(fd)
    finally:
        os.close(fd)
    values = {
        key: (
            value.kind, value.is_array,
            [one.encode() if isinstance(one, str) else one for one in value.items],
        )
        for key, value in container.metadata.values.items()
    }  # fmt: skip
    tensors = [(t.name, t.shape, t.kind, t.offset, t.size_bytes) for t in container.tensors]
    return values, tensors
