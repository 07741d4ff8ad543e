"""Strict parser of a GGUF header and its key-value pairs.

Trust: scan jail. Input: untrusted file; every count and length is checked against a limit and
against what is left of the file before anything is read or kept.

Format: ggml/docs/gguf.md. Stricter than the engine on purpose (research/artifacts.md, section 2a):
keys are ASCII and unique even for a C string reader, strings are UTF-8 without NUL.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from corral.admission.scan.cursor import Cursor, ScanRefusal
from corral.admission.scan.texts import Texts

KEY_VALUES: Final = 2048
TENSORS: Final = 8192
"""Engines look names up one by one: 40,000 tensors take them 18 s to refuse."""
KEY_BYTES: Final = 256
STRING_BYTES: Final = 1 << 20
ARRAY_ITEMS: Final = 1 << 20
_TENSOR_BYTES: Final = 33
_PAIR_BYTES: Final = 14
"""Least bytes of a tensor description and of a key with its value."""
STRING, ARRAY, BOOL, UINT32, FLOAT32 = 8, 9, 7, 4, 6

_KEY: Final = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.\-/]*")
_SCALARS: Final[dict[int, struct.Struct]] = {
    0: struct.Struct("<B"), 1: struct.Struct("<b"), 2: struct.Struct("<H"), 3: struct.Struct("<h"),
    4: struct.Struct("<I"), 5: struct.Struct("<i"), 6: struct.Struct("<f"), 7: struct.Struct("<B"),
    10: struct.Struct("<Q"), 11: struct.Struct("<q"), 12: struct.Struct("<d"),
}  # fmt: skip

Scalar = int | float | bool | str
_SMALL_BYTES: Final = 4096
"""A longer string is kept as bytes until somebody asks for it."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value.

    Attributes:
        kind: GGUF value type of the value, or of the items of an array.
        items: the items of an array (an `array`, or `Texts`), or the one scalar.
        is_array: whether it is an array.
    """

    kind: int
    items: Sequence[Scalar]
    is_array: bool


@dataclass(frozen=True, slots=True)
class Metadata:
    """Header and key-value pairs of a file.

    Attributes:
        places: offset and length of each pair, in bytes, by its key.
        spans: of each array: where its items begin -> (type of the items, count, where they end).
    """

    version: int
    tensor_count: int
    values: dict[str, Value]
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    spans: dict[int, tuple[int, int, int]] = field(default_factory=dict)


def parse_metadata(cursor: Cursor) -> Metadata:
    """Read everything up to the tensor descriptions.

    Raises:
        ScanRefusal: the first rule that the file breaks.
    """
    if cursor.size_bytes < 4:
        raise ScanRefusal("truncated", "the file is empty or ends inside its header")
    if cursor.take(4) != b"GGUF":
        raise ScanRefusal("magic", "the file does not start as a GGUF file does")
    cursor.item = cursor.offset
    version = cursor.u32()
    if version & 0xFFFF == 0 and version:
        raise ScanRefusal("endianness", "the file is big-endian")
    if version not in {2, 3}:
        raise ScanRefusal("version", "only GGUF versions 2 and 3 are read")
    cursor.item = cursor.offset
    tensor_count, value_count = cursor.u64(), cursor.u64()
    if tensor_count > TENSORS:
        raise ScanRefusal("n_tensors", "the file claims more tensors than any model has")
    if value_count > KEY_VALUES:
        raise ScanRefusal("n_kv", "the file claims more metadata keys than any model has")
    if tensor_count * _TENSOR_BYTES + value_count * _PAIR_BYTES > cursor.left_bytes:
        raise ScanRefusal("truncated", "the file is too short for what its header claims")
    found = Metadata(version, tensor_count, {})
    for _ in range(value_count):
        begin = cursor.item = cursor.offset
        key = _key(cursor)
        if key in found.values:
            raise ScanRefusal("key_duplicate", "a metadata key occurs twice", key.encode())
        found.values[key] = _value(cursor, key.encode(), found.spans)
        found.places[key] = (begin, cursor.offset - begin)
    return found


def _key(cursor: Cursor) -> str:
    length = cursor.u64()
    if length == 0:
        raise ScanRefusal("key_empty", "a metadata key is empty")
    if length > KEY_BYTES:
        raise ScanRefusal("key_length", "a metadata key is too long")
    raw = cursor.take(length)
    if not _KEY.fullmatch(raw):
        # A NUL here would make the engine see another key than every checker does.
        raise ScanRefusal("key_charset", "a metadata key has an unusual character", raw)
    return raw.decode("ascii")


def _value(cursor: Cursor, key: bytes, spans: dict[int, tuple[int, int, int]]) -> Value:
    kind = cursor.u32()
    if kind != ARRAY:
        return Value(kind, _one(cursor, kind, key), is_array=False)
    kind = cursor.u32()
    count = cursor.u64()
    if kind == ARRAY:
        raise ScanRefusal("array_nested", "an array inside an array", key)
    if kind != STRING and kind not in _SCALARS:
        raise ScanRefusal("kv_type", "a metadata value has an unknown type", key)
    item_bytes = 8 if kind == STRING else _SCALARS[kind].size
    if count > ARRAY_ITEMS:
        raise ScanRefusal("array_length", "an array claims more items than any model has", key)
    if count * item_bytes > cursor.left_bytes:
        raise ScanRefusal("truncated", "the file ends inside an array", key)
    begin = cursor.offset
    items: Sequence[Scalar]
    if kind == STRING:
        items = _strings(cursor, count, key)
    else:
        items = array(_SCALARS[kind].format[1:], cursor.take(count * item_bytes))
    spans[begin] = (kind, count, cursor.offset)
    if kind == BOOL and not set(items) <= {0, 1}:
        raise ScanRefusal("bool_value", "a boolean is neither 0 nor 1", key)
    return Value(kind, items, is_array=True)


def _one(cursor: Cursor, kind: int, key: bytes) -> Sequence[Scalar]:
    if kind == STRING:
        found = _strings(cursor, 1, key)
        return found if int(found.ends[0]) > _SMALL_BYTES else (found[0],)
    form = _SCALARS.get(kind)
    if form is None:
        raise ScanRefusal("kv_type", "a metadata value has an unknown type", key)
    value: int | float = form.unpack(cursor.take(form.size))[0]
    if kind == BOOL:
        if value not in {0, 1}:
            raise ScanRefusal("bool_value", "a boolean is neither 0 nor 1", key)
        return (bool(value),)
    return (value,)


def _strings(cursor: Cursor, count: int, key: bytes) -> Texts:
    try:
        found = Texts(*cursor.strings(count, STRING_BYTES))
    except ScanRefusal as refusal:
        raise ScanRefusal(refusal.code, refusal.message, key) from refusal
    if found.has_nul():
        raise ScanRefusal("string_nul", "a string contains NUL", key)
    if not found.is_utf8():
        raise ScanRefusal("string_utf8", "a string is not UTF-8", key)
    return found
