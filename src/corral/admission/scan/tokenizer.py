"""The vocabulary of a model: lists that fit each other, and token ids that exist.

Trust: scan jail. Input: untrusted values of sound structure. The engine indexes by what stands here
(heap writes by a byte token `<0x-1>`, llama.cpp #25969; by a list of another type, #26690; by a
short normaliser map), and a marker that is typed as ordinary text would let a prompt end a message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from corral.admission.report import CONTROL_TOKEN_CHARS, CONTROL_TOKENS, Finding
from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.metadata import STRING, Scalar, Value
from corral.admission.scan.pre_tokenizers import PRE_TOKENIZERS
from corral.admission.scan.values import INTEGERS, Values

_TOKENS: Final = 1 << 21
_TOKEN_BYTES: Final = 1024
_UINT8, _INT32, _FLOAT32 = 0, 5, 6
_NORMAL, _CONTROL, _BYTE = 1, 3, 6
_TYPES: Final = range(7)
_BYTE_TEXT: Final = re.compile(r"<0x[0-9A-F]{2}>")
_MARKER: Final = re.compile(
    r"<[|\uff5c].{1,60}[|\uff5c]>|</?s>|<(?:bos|eos|pad|unk|eot|eom|start_of_turn|end_of_turn)>"
    r"|\[/?INST\]|\[/?SYSTEM_PROMPT\]"
)
"""Texts that llama.cpp treats as control tokens by their look, whatever their type."""
_DEFAULT_IDS: Final[dict[str, dict[str, int]]] = {
    "llama": {"bos": 1, "eos": 2, "unknown": 0},
    "bert": {"bos": 101, "unknown": 100, "seperator": 102, "padding": 0, "mask": 103},
    "gpt2": {"bos": 11, "eos": 11},
    "t5": {"eos": 1, "unknown": 2, "padding": 0},
    "rwkv": {},
    "plamo2": {"bos": 1, "eos": 2, "unknown": 0, "padding": 3},
}
"""Ids that the engine takes where the file names none (llama-vocab.cpp)."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A vocabulary that fits together.

    Attributes:
        tokens: text of each token.
        control: texts that a prompt must never contain.
        bos: text of the token that begins a text, or empty.
        eos: text of the token that ends an answer, or empty.
        remarks: what is strange but possible.
    """

    tokens: tuple[str, ...]
    control: tuple[str, ...]
    bos: str
    eos: str
    remarks: tuple[Finding, ...]


def read_vocabulary(values: Values) -> Vocabulary:
    """Return the vocabulary.

    Raises:
        ScanRefusal: the first rule that it breaks.
    """
    model = values.text("tokenizer.ggml.model", "")
    tokens = _tokens(values, model)
    types = _types(values, len(tokens))
    _check_texts(tokens, types)
    _check_scores(values, len(tokens))
    _check_merges(values)
    _check_charsmap(values)
    pre = values.text("tokenizer.ggml.pre", "default")
    if pre not in PRE_TOKENIZERS:
        raise ScanRefusal("tokenizer_pre", "the splitting of texts is of no known kind")
    ids = _ids(values, model, len(tokens))
    remarks = _remarks(values, tokens, types, ids)
    return Vocabulary(
        tokens=tokens,
        control=_control(tokens, types),
        bos=tokens[ids["bos"]] if "bos" in ids else "",
        eos=tokens[ids["eos"]] if "eos" in ids else "",
        remarks=remarks,
    )


def _tokens(values: Values, model: str) -> tuple[str, ...]:
    if model == "no_vocab":
        raise ScanRefusal("vocab_size", "the model has no vocabulary")
    if model not in _DEFAULT_IDS:
        raise ScanRefusal("tokenizer_model", "the tokenizer is of no known kind", model.encode())
    found = values.array("tokenizer.ggml.tokens")
    if found is None:
        raise ScanRefusal("vocab_size", "the file has no vocabulary")
    if found.kind != STRING:
        raise ScanRefusal("tokenizer_array_type", "the tokens are not texts")
    if not 1 <= len(found.items) <= _TOKENS:
        raise ScanRefusal("vocab_size", "the vocabulary is empty or too long")
    return tuple(str(item) for item in found.items)


def _types(values: Values, count: int) -> tuple[int, ...]:
    found = values.array("tokenizer.ggml.token_type")
    if found is None:
        # Without types nobody can tell which texts end a message: such a prompt filter would
        # fail open.
        raise ScanRefusal("token_types", "the vocabulary has no token types")
    if found.kind not in INTEGERS:
        raise ScanRefusal("tokenizer_array_type", "the token types are not integers")
    _check_length(found, count)
    types = tuple(int(item) for item in found.items)
    if found.kind != _INT32 or not all(one in _TYPES for one in types):
        raise ScanRefusal("tokenizer_array_type", "a token type is of no known kind")
    return types


def _check_texts(tokens: tuple[str, ...], types: tuple[int, ...]) -> None:
    seen: set[str] = set()
    for text, kind in zip(tokens, types, strict=True):
        if len(text.encode()) > _TOKEN_BYTES:
            raise ScanRefusal("token_length", "a token is too long", text[:60].encode())
        if kind == _BYTE and not _BYTE_TEXT.fullmatch(text):
            raise ScanRefusal("token_byte_syntax", "a byte token is not one", text.encode())
        if text in seen:
            raise ScanRefusal("token_duplicate", "two tokens have one text", text.encode())
        seen.add(text)


def _check_scores(values: Values, count: int) -> None:
    found = values.array("tokenizer.ggml.scores")
    if found is None:
        return
    if found.kind != _FLOAT32:
        raise ScanRefusal("tokenizer_array_type", "the token scores are not 32-bit floats")
    _check_length(found, count)


def _check_length(found: Value, count: int) -> None:
    if len(found.items) != count:
        raise ScanRefusal("tokenizer_array_length", "two lists of the vocabulary differ in length")


def _check_merges(values: Values) -> None:
    found = values.array("tokenizer.ggml.merges")
    if found is None:
        return
    if found.kind != STRING:
        raise ScanRefusal("tokenizer_array_type", "the merges are not texts")
    for item in found.items:
        # The engine looks for the space from the second character on.
        _, _, right = str(item)[1:].partition(" ")
        if not right:
            raise ScanRefusal("merges", "a merge is not two texts", str(item)[:60].encode())


def _check_charsmap(values: Values) -> None:
    found = values.array("tokenizer.ggml.precompiled_charsmap")
    if found is None:
        return
    if found.kind != _UINT8:
        raise ScanRefusal("tokenizer_array_type", "the normaliser's map is not bytes")
    raw = bytes(int(item) for item in found.items)
    trie_bytes = int.from_bytes(raw[:4], "little")
    if len(raw) < 4 or trie_bytes % 4 or trie_bytes > len(raw) - 4:
        raise ScanRefusal("charsmap", "the normaliser's map is larger than it is")
    texts = raw[4 + trie_bytes :]
    if texts and texts[-1] != 0:
        raise ScanRefusal("charsmap", "the last text of the normaliser's map has no end")


def _ids(values: Values, model: str, count: int) -> dict[str, int]:
    ids = dict(_DEFAULT_IDS[model])
    if any(
        f"tokenizer.ggml.{name}_token_id" not in values and default >= count
        for name, default in ids.items()
    ):
        raise ScanRefusal("vocab_size", "the vocabulary lacks tokens that the engine supposes")
    for key in values:
        if key.startswith("tokenizer.ggml.") and key.endswith("_token_id"):
            name = key.removeprefix("tokenizer.ggml.").removesuffix("_token_id")
            ids[name] = values.integer(key, "token_id", 0, count - 1)
        elif key.startswith("tokenizer.ggml.add_") and key.endswith("_token"):
            values.flag(key, default=False)
    return ids


def _control(tokens: tuple[str, ...], types: tuple[int, ...]) -> tuple[str, ...]:
    control = tuple(
        text
        for text, kind in zip(tokens, types, strict=True)
        if text and (kind == _CONTROL or _MARKER.fullmatch(text))
    )
    if len(control) > CONTROL_TOKENS or any(len(t) > CONTROL_TOKEN_CHARS for t in control):
        # Leaving some out would let a prompt contain them.
        raise ScanRefusal("control_tokens", "the control tokens are too many or too long")
    return control


def _remarks(
    values: Values, tokens: tuple[str, ...], types: tuple[int, ...], ids: dict[str, int]
) -> tuple[Finding, ...]:
    found: list[Finding] = []
    for name in ("eos", "eot", "eom", "bos"):
        if name in ids and types[ids[name]] == _NORMAL and not _MARKER.fullmatch(tokens[ids[name]]):
            message = f"the {name} token is an ordinary word: answers end at it, or never"
            found.append(Finding("token_id", "flag", message))
    template = values.text("tokenizer.chat_template", "")
    for text, kind in zip(tokens, types, strict=True):
        if kind == _NORMAL and text in template and _MARKER.fullmatch(text):
            message = "a marker of the chat template is typed as ordinary text"
            found.append(Finding("control_token_type", "flag", message, _shown(text)))
            break
    return tuple(found)


def _shown(text: Scalar) -> str:
    return str(text).encode("unicode_escape").decode()[:160]
