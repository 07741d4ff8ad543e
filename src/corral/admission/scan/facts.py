"""Derive the facts that sizing and sanitising need from sound metadata.

Trust: scan jail. Input: untrusted values of sound structure; each is held to its type and range
here, because memory limits are computed from them and the engine aborts on some.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

from gguf.constants import MODEL_ARCH_NAMES

from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.metadata import STRING, Metadata, Value
from corral.admission.scan.report import CONTROL_TOKEN_CHARS, CONTROL_TOKENS, Facts
from corral.admission.scan.tensors import Tensor

_CONTROL: Final = 3
_MARKER: Final = re.compile(
    r"<[|\uff5c].{1,60}[|\uff5c]>|</?s>|<(?:bos|eos|pad|unk|eot|eom|start_of_turn|end_of_turn)>"
    r"|\[/?INST\]|\[/?SYSTEM_PROMPT\]"
)
"""Texts that llama.cpp treats as control tokens by their look, whatever their type."""
_KV_ELEMENT_BYTES: Final = 2
_INTEGERS: Final = frozenset({0, 1, 2, 3, 4, 5, 10, 11})
_KNOWN: Final = frozenset(MODEL_ARCH_NAMES.values()) - {"clip", "mmproj"}
_LAYERS: Final = 512
_VOCABULARY: Final = 1 << 21


def derive_facts(metadata: Metadata, tensors: tuple[Tensor, ...]) -> Facts:
    """Return the facts of a language model.

    Raises:
        ScanRefusal: a needed value is missing, of another type or out of its range.
    """
    reader = _Reader(metadata.values)
    if not tensors or "general.architecture" not in metadata.values:
        raise ScanRefusal("not_a_model", "the file has no architecture or no tensors")
    if reader.text("general.type", "model") != "model":
        raise ScanRefusal("not_a_model", "the file is an adapter or a part, not a model")
    arch = reader.text("general.architecture", "")
    if arch not in _KNOWN:
        raise ScanRefusal("architecture", "the architecture is not a known one", arch.encode())
    layers = reader.integer(f"{arch}.block_count", "n_layer", 1, _LAYERS)
    width = reader.integer(f"{arch}.embedding_length", "n_embd", 1, 1 << 20)
    heads = reader.each(f"{arch}.attention.head_count", "n_head", layers, None)
    heads_kv = reader.each(f"{arch}.attention.head_count_kv", "n_head_kv", layers, heads)
    if any(kv > q or (kv and q % kv) for q, kv in zip(heads, heads_kv, strict=True)):
        raise ScanRefusal("n_head_kv", "the heads are not a multiple of the key-value heads")
    head = width // max(heads) if max(heads) else 0
    key_width = reader.integer(f"{arch}.attention.key_length", "head_dim", 1, 4096, head)
    value_width = reader.integer(f"{arch}.attention.value_length", "head_dim", 1, 4096, head)
    control, vocabulary = _vocabulary(reader)
    kinds: Counter[str] = Counter()
    for tensor in tensors:
        kinds[tensor.kind] += tensor.elements
    return Facts(
        architecture=arch,
        context_train_tokens=reader.integer(f"{arch}.context_length", "n_ctx_train", 1, 1 << 31),
        block_count=layers,
        embedding_length=width,
        head_count=max(heads),
        head_count_kv=max(heads_kv),
        kv_bytes_per_token=sum(heads_kv) * (key_width + value_width) * _KV_ELEMENT_BYTES,
        weights_bytes=sum(t.size_bytes for t in tensors),
        parameters=sum(t.elements for t in tensors),
        vocabulary_tokens=vocabulary,
        quantisation=kinds.most_common(1)[0][0],
        has_chat_template="tokenizer.chat_template" in metadata.values,
        control_tokens=control,
    )


def _vocabulary(reader: _Reader) -> tuple[tuple[str, ...], int]:
    tokens = reader.array("tokenizer.ggml.tokens")
    types = reader.array("tokenizer.ggml.token_type")
    if tokens is None:
        raise ScanRefusal("vocab_size", "the file has no vocabulary")
    if tokens.kind != STRING or not 1 <= len(tokens.items) <= _VOCABULARY:
        raise ScanRefusal("vocab_size", "the vocabulary is not a list of texts, or too long")
    if types is None:
        # Without types nobody can tell which texts end a message: such a prompt filter would
        # fail open.
        raise ScanRefusal("token_types", "the vocabulary has no token types")
    if types.kind not in _INTEGERS:
        raise ScanRefusal("tokenizer_array_type", "the token types are not integers")
    if len(types.items) != len(tokens.items):
        raise ScanRefusal("tokenizer_array_length", "tokens and token types differ in number")
    pairs = zip(tokens.items, types.items, strict=True)
    control = tuple(
        text
        for text, kind in ((str(t), k) for t, k in pairs)
        if text and (kind == _CONTROL or _MARKER.fullmatch(text))
    )
    if len(control) > CONTROL_TOKENS or any(len(t) > CONTROL_TOKEN_CHARS for t in control):
        # Leaving some out would let a prompt contain them.
        raise ScanRefusal("control_tokens", "the control tokens are too many or too long")
    return control, len(tokens.items)


class _Reader:
    """Typed look-ups; a value of another type is a refusal, as in the engine."""

    def __init__(self, values: dict[str, Value]) -> None:
        self._values = values

    def text(self, key: str, default: str) -> str:
        value = self._values.get(key)
        if value is None:
            return default
        if value.is_array or value.kind != STRING:
            raise ScanRefusal("kv_type_expected", "a value is not of its type", key.encode())
        return str(value.items[0])

    def integer(self, key: str, code: str, low: int, high: int, default: int | None = None) -> int:
        value = self._values.get(key)
        if value is None:
            if default is None:
                raise ScanRefusal("not_a_model", "a needed value is missing", key.encode())
            return default
        if value.is_array:
            raise ScanRefusal("kv_type_expected", "a value is not of its type", key.encode())
        return self._ranged(value, key, code, low, high)[0]

    def each(
        self, key: str, code: str, layers: int, default: tuple[int, ...] | None
    ) -> tuple[int, ...]:
        """Return one number for each layer; a scalar counts for all of them."""
        value = self._values.get(key)
        if value is None:
            return default if default is not None else (0,) * layers
        low = 0 if value.is_array else 1
        found = self._ranged(value, key, code, low, 1 << 14)
        if not value.is_array:
            return found * layers
        if len(found) < layers:
            raise ScanRefusal("hparam_array", "a list has not one item per layer", key.encode())
        return found[:layers]

    def array(self, key: str) -> Value | None:
        value = self._values.get(key)
        if value is not None and not value.is_array:
            raise ScanRefusal("kv_type_expected", "a value is not of its type", key.encode())
        return value

    def _ranged(self, value: Value, key: str, code: str, low: int, high: int) -> tuple[int, ...]:
        if value.kind not in _INTEGERS:
            raise ScanRefusal("kv_type_expected", "a value is not of its type", key.encode())
        numbers = tuple(int(item) for item in value.items)
        if not numbers or not all(low <= number <= high for number in numbers):
            raise ScanRefusal(code, "a value is out of its range", key.encode())
        return numbers


def check_floats(metadata: Metadata) -> None:
    """Refuse NaN and infinity in any scalar or list.

    Raises:
        ScanRefusal: code `float_nonfinite`.
    """
    for key, value in metadata.values.items():
        for item in value.items:
            if isinstance(item, float) and not math.isfinite(item):
                raise ScanRefusal("float_nonfinite", "a number is not finite", key.encode())
