"""The vocabulary of a model: lists that fit each other, and token ids that exist.

Trust: scan jail. Input: untrusted values of sound structure. The engine indexes by what stands here
(heap writes by a byte token `<0x-1>`, llama.cpp #25969; by a list of another type, #26690; by a
short normaliser map), and a marker that is typed as ordinary text would let a prompt end a message.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np

from corral.admission.report import CONTROL_TOKEN_CHARS, CONTROL_TOKENS, Finding
from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.metadata import Value
from corral.admission.scan.pre_tokenizers import PRE_TOKENIZERS, UNUSED
from corral.admission.scan.texts import Texts
from corral.admission.scan.values import INTEGERS, Values

_TOKENS: Final = 1 << 19
_TOKEN_BYTES: Final = 1024
_UINT8, _INT32, _FLOAT32 = 0, 5, 6
_CONTROL, _BYTE = 3, 6
_WORDS: Final = frozenset({0, 1})
"""Types of ordinary words: none, and normal."""
_TYPES: Final = frozenset(range(7))
_BYTE_TEXT: Final = re.compile(rb"<0x[0-9A-F]{2}>")
_MARKER: Final = re.compile(
    r"<[|\uff5c].{1,60}[|\uff5c]>|</?s>|<(?:bos|eos|pad|unk|eot|eom|start_of_turn|end_of_turn)>"
    r"|\[/?INST\]|\[/?SYSTEM_PROMPT\]"
)
"""Texts that llama.cpp treats as control tokens by their look, whatever their type."""
_MARKER_STARTS: Final = b"<["
_DEFAULT_IDS: Final[dict[str, dict[str, int]]] = {
    "llama": {"bos": 1, "eos": 2, "unknown": 0},
    "bert": {"bos": 101, "unknown": 100, "seperator": 102, "padding": 0, "mask": 103},
    "gpt2": {"bos": 11, "eos": 11},
    "t5": {"eos": 1, "unknown": 2, "padding": 0},
    "rwkv": {},
    "plamo2": {"bos": 1, "eos": 2, "unknown": 0, "padding": 3},
    "gemma4": {},
}
"""Ids that the engine takes where the file names none (llama-vocab.cpp)."""
_FLAGS: Final = frozenset(
    f"tokenizer.ggml.{name}" for name in ("remove_extra_whitespaces", "escape_whitespaces")
)
_MERGING: Final = frozenset({"gpt2", "gemma4"})
_NOT_MERGING: Final = frozenset({"kimi-k2"})


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A vocabulary that fits together.

    Attributes:
        tokens: text of each token.
        types: kind of each token.
        control: texts that a prompt must never contain.
        word_markers: those of them that are typed as ordinary words.
        bos: text of the token that begins a text, or empty.
        eos: text of the token that ends an answer, or empty.
        remarks: what is strange but possible.
    """

    tokens: Texts
    types: Sequence[int]
    control: tuple[str, ...]
    word_markers: tuple[str, ...]
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
    pre = values.text("tokenizer.ggml.pre", "default")
    if pre not in PRE_TOKENIZERS and (model in _MERGING or pre not in UNUSED):
        raise ScanRefusal("tokenizer_pre", "the splitting of texts is of no known kind")
    _check_merges(values, needed=model in _MERGING and pre not in _NOT_MERGING)
    _check_charsmap(values)
    ids = _ids(values, model, len(tokens))
    markers = [n for n in tokens.starting_with(_MARKER_STARTS) if _MARKER.fullmatch(tokens[n])]
    remarks = _remarks(values, tokens, types, ids, markers)
    return Vocabulary(
        tokens=tokens,
        types=types,
        control=_control(tokens, types, markers),
        word_markers=tuple(tokens[number] for number in markers if types[number] in _WORDS),
        bos=tokens[ids["bos"]] if "bos" in ids else "",
        eos=tokens[ids["eos"]] if "eos" in ids else "",
        remarks=remarks,
    )


def _tokens(values: Values, model: str) -> Texts:
    if model == "no_vocab":
        raise ScanRefusal("vocab_size", "the model has no vocabulary")
    if model not in _DEFAULT_IDS:
        raise ScanRefusal("tokenizer_model", "the tokenizer is of no known kind", model.encode())
    found = values.array("tokenizer.ggml.tokens")
    if found is None:
        raise ScanRefusal("vocab_size", "the file has no vocabulary")
    if not isinstance(found.items, Texts):
        raise ScanRefusal("tokenizer_array_type", "the tokens are not texts")
    if not 1 <= len(found.items) <= _TOKENS:
        raise ScanRefusal("vocab_size", "the vocabulary is empty or too long")
    return found.items


def _types(values: Values, count: int) -> Sequence[int]:
    found = values.array("tokenizer.ggml.token_type")
    if found is None:
        # Without types nobody can tell which texts end a message: such a prompt filter would
        # fail open.
        raise ScanRefusal("token_types", "the vocabulary has no token types")
    if found.kind not in INTEGERS:
        raise ScanRefusal("tokenizer_array_type", "the token types are not integers")
    _check_length(found, count)
    if found.kind != _INT32 or not _TYPES.issuperset(found.items):
        raise ScanRefusal("tokenizer_array_type", "a token type is of no known kind")
    return cast("Sequence[int]", found.items)


def _check_texts(tokens: Texts, types: Sequence[int]) -> None:
    longest = int(tokens.lengths.argmax())
    if int(tokens.lengths[longest]) > _TOKEN_BYTES:
        raise ScanRefusal("token_length", "a token is too long", tokens.raw(longest)[:60])
    for number in _of_kind(types, _BYTE):
        if not _BYTE_TEXT.fullmatch(tokens.raw(number)):
            raise ScanRefusal("token_byte_syntax", "a byte token is not one", tokens.raw(number))
    if not tokens.all_differ():
        ((twice, _),) = Counter(tokens.raws()).most_common(1)
        raise ScanRefusal("token_duplicate", "two tokens have one text", twice)


def _of_kind(types: Sequence[int], kind: int) -> list[int]:
    numbers: list[int] = np.flatnonzero(np.asarray(types) == kind).tolist()
    return numbers


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


def _check_merges(values: Values, *, needed: bool) -> None:
    found = values.array("tokenizer.ggml.merges")
    if found is None:
        if needed:
            raise ScanRefusal("merges", "the vocabulary has no merges, which the engine needs")
        return
    if not isinstance(found.items, Texts):
        raise ScanRefusal("tokenizer_array_type", "the merges are not texts")
    wrong = found.items.first_without_pair()
    if wrong is not None:
        where = found.items.raw(wrong)[:60]
        raise ScanRefusal("merges", "a merge is not two texts", where)


def _check_charsmap(values: Values) -> None:
    found = values.array("tokenizer.ggml.precompiled_charsmap")
    if found is None:
        return
    if found.kind != _UINT8:
        raise ScanRefusal("tokenizer_array_type", "the normaliser's map is not bytes")
    raw = bytes(cast("Sequence[int]", found.items))
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
        elif key.startswith("tokenizer.ggml.") and key.endswith("_token_ids"):
            _check_listed(values.array(key), key, count)
        elif key.startswith("tokenizer.ggml.add_") or key in _FLAGS:
            values.flag(key, default=False)
    return ids


def _check_listed(found: Value | None, key: str, count: int) -> None:
    if found is None or found.kind not in INTEGERS:
        raise ScanRefusal("kv_type_expected", "a value is not of its type", key.encode())
    if not all(0 <= int(item) < count for item in found.items):
        raise ScanRefusal("token_id", "a token id is not in the vocabulary", key.encode())


def _control(tokens: Texts, types: Sequence[int], markers: list[int]) -> tuple[str, ...]:
    numbers = sorted({*_of_kind(types, _CONTROL), *markers})
    if len(numbers) > CONTROL_TOKENS:
        # Leaving some out would let a prompt contain them.
        raise ScanRefusal("control_tokens", "the control tokens are too many or too long")
    control = tuple(text for text in map(tokens.__getitem__, numbers) if text)
    if any(len(text) > CONTROL_TOKEN_CHARS for text in control):
        raise ScanRefusal("control_tokens", "the control tokens are too many or too long")
    return control


def _remarks(
    values: Values, tokens: Texts, types: Sequence[int], ids: dict[str, int], markers: list[int]
) -> tuple[Finding, ...]:
    found: list[Finding] = []
    for name in ("eos", "eot", "eom", "bos"):
        if name in ids and types[ids[name]] in _WORDS and not _MARKER.fullmatch(tokens[ids[name]]):
            message = f"the {name} token is an ordinary word: answers end at it, or never"
            found.append(Finding("token_id", "flag", message))
    template = values.text("tokenizer.chat_template", "")
    for number in markers:
        text = tokens[number]
        if types[number] in _WORDS and text in template:
            message = "a marker of the chat template is typed as ordinary text"
            found.append(Finding("control_token_type", "flag", message, _shown(text)))
            break
    return tuple(found)


def _shown(text: str) -> str:
    return text.encode("unicode_escape").decode()[:160]
