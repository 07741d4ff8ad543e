"""A detector of three kilobytes: real ONNX and a real tokenizer, and `attack` is the only bad word.

The graph is a table of scores by token and the largest of a window; written by hand, since nothing
else of ours needs a library that makes ONNX files.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "attack",
    "hello",
    "world",
    "calm",
    "text",
    "is",
    "this",
)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _bytes(field: int, data: bytes | str) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _value(name: str, element: int, dims: tuple[str, ...]) -> bytes:
    shape = b"".join(_bytes(1, _bytes(2, dim)) for dim in dims)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, element) + _bytes(2, shape)))


def model(attack: float = 6.0, calm: float = -6.0) -> bytes:
    """Return the ONNX file: logits [calm, attack] of the worst token of each row."""
    rows = [(0.0, attack if word == "attack" else calm) for word in WORDS]
    raw = b"".join(struct.pack("<2f", *row) for row in rows)
    table = (
        _number(1, len(rows)) + _number(1, 2) + _number(2, 1) + _bytes(8, "table") + _bytes(9, raw)
    )
    gather = _bytes(1, "table") + _bytes(1, "input_ids") + _bytes(2, "each") + _bytes(4, "Gather")
    axes = _bytes(5, _bytes(1, "axes") + _number(8, 1) + _number(20, 7))
    keep = _bytes(5, _bytes(1, "keepdims") + _number(3, 0) + _number(20, 2))
    most = _bytes(1, "each") + _bytes(2, "logits") + _bytes(4, "ReduceMax") + axes + keep
    graph = (
        _bytes(1, gather) + _bytes(1, most) + _bytes(2, "tiny") + _bytes(5, table)
        + _bytes(11, _value("input_ids", 7, ("batch", "tokens")))
        + _bytes(12, _value("logits", 1, ("batch", "labels")))
    )  # fmt: skip
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, 13))


def tokenizer() -> bytes:
    """Return a tokenizer of whole words, as the library writes it."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    made = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    return made.to_str().encode()


def manifest(model_file: bytes, tokenizer_file: bytes, **changes: str) -> str:
    fields = {
        "name": '"tiny"', "model": f'"{hashlib.sha256(model_file).hexdigest()}"',
        "tokenizer": f'"{hashlib.sha256(tokenizer_file).hexdigest()}"', "window_tokens": "16",
        "overlap_tokens": "4", "first": "2", "last": "3", "flag": "0.5", "block": "0.9",
        "alarms": '["attack", "this is attack", "hello attack world"]',
        "calm": '["hello", "this is calm", "hello world"]',
    }  # fmt: skip
    return "".join(f"{name} = {value}\n" for name, value in {**fields, **changes}.items() if value)


def make_detector(folder: Path, *, model_file: bytes | None = None, **changes: str) -> Path:
    """Write a detector; `changes` are values of its manifest in TOML, "" takes a field out."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"model.onnx": model_file or model(), "tokenizer.json": tokenizer()}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    text = manifest(files["model.onnx"], files["tokenizer.json"], **changes)
    (folder / "detector.toml").write_text(text, encoding="utf-8")
    return folder
