"""Vocabularies whose lists do not fit, whose ids do not exist, or whose markers are hidden."""

import struct

import pytest

from tests.support.gguf_file import ARRAY, F32, I32, STRING, U32, GgufFile, array, scalar
from tests.support.scanned import scan, worst_code

SOUND = GgufFile()


def charsmap(trie_bytes: int, rest: bytes) -> bytes:
    raw = struct.pack("<I", trie_bytes) + rest
    return struct.pack("<IIQ", ARRAY, 0, len(raw)) + raw


BROKEN: dict[str, tuple[str, str, bytes | None]] = {
    "no kind": ("tokenizer_model", "model", None),
    "a kind of its own": ("tokenizer_model", "model", scalar(STRING, "evil")),
    "none, but a size": ("vocab_size", "model", scalar(STRING, "no_vocab")),
    "splitting of its own": ("tokenizer_pre", "pre", scalar(STRING, "(a+)+$")),
    "two tokens alike": ("token_duplicate", "tokens", array(STRING, ["<s>", "a", "a"])),
    "a book of a token": ("token_length", "tokens", array(STRING, ["<s>", "a" * 1025, "b"])),
    "scores of another type": ("tokenizer_array_type", "scores", array(I32, [0, 0, 0])),
    "scores short": ("tokenizer_array_length", "scores", array(F32, [0, 0])),
    "types of another width": ("tokenizer_array_type", "token_type", array(U32, [3, 1, 3])),
    "a type that is none": ("tokenizer_array_type", "token_type", array(I32, [3, 7, 3])),
    "a byte token that is a word": ("token_byte_syntax", "token_type", array(I32, [3, 6, 3])),
    "an id past the end": ("token_id", "eos_token_id", scalar(U32, 3)),
    "an id far past the end": ("token_id", "padding_token_id", scalar(U32, 0xFFFFFFFE)),
    "an id of another type": ("kv_type_expected", "eos_token_id", scalar(STRING, "2")),
    "a merge without a space": ("merges", "merges", array(STRING, ["a b", "ab"])),
    "a merge with nothing behind": ("merges", "merges", array(STRING, ["ab "])),
    "merges that are numbers": ("tokenizer_array_type", "merges", array(I32, [1])),
    "a map larger than itself": (
        "charsmap", "precompiled_charsmap", charsmap(0xFFFFFFFC, b"\0" * 16),
    ),
    "a map of odd size": ("charsmap", "precompiled_charsmap", charsmap(3, b"\0" * 16)),
    "a map whose texts do not end": (
        "charsmap", "precompiled_charsmap", charsmap(4, b"\0\0\0\0abc"),
    ),
    "a switch that is a number": ("kv_type_expected", "add_bos_token", scalar(U32, 1)),
}  # fmt: skip


@pytest.mark.claim("ADM-07")
@pytest.mark.parametrize(("code", "key", "value"), BROKEN.values(), ids=BROKEN)
def test_a_vocabulary_is_refused_by_its_code(code: str, key: str, value: bytes | None) -> None:
    assert worst_code(SOUND.with_value(f"tokenizer.ggml.{key}", value).encode()) == ("reject", code)


@pytest.mark.claim("ADM-07")
def test_a_vocabulary_shorter_than_the_engine_supposes() -> None:
    """llama.cpp takes ids 1 and 2 where the file names none; GHSA-g4cc-763q-h9h6."""
    file = SOUND.with_value("tokenizer.ggml.eos_token_id", None)
    file = file.with_value("tokenizer.ggml.tokens", array(STRING, ["a"]))
    file = file.with_value("tokenizer.ggml.token_type", array(I32, [1]))
    file = file.with_value("tokenizer.ggml.scores", array(F32, [0]))
    assert worst_code(file.encode()) == ("reject", "vocab_size")


def test_a_negative_byte_is_none() -> None:
    """`<0x-1>` wrote before the heap of llama.cpp (#25969)."""
    file = SOUND.with_value("tokenizer.ggml.tokens", array(STRING, ["<s>", "<0x-1>", "<|end|>"]))
    file = file.with_value("tokenizer.ggml.token_type", array(I32, [3, 6, 3]))
    assert worst_code(file.encode()) == ("reject", "token_byte_syntax")


@pytest.mark.claim("ADM-07")
def test_an_end_that_is_a_word_is_flagged() -> None:
    file = SOUND.with_value("tokenizer.ggml.eos_token_id", scalar(U32, 1))
    assert worst_code(file.encode()) == ("flag", "token_id")


@pytest.mark.claim("ADM-07")
def test_a_marker_that_is_typed_as_text_is_flagged_and_still_filtered() -> None:
    file = SOUND.with_value("tokenizer.ggml.token_type", array(I32, [3, 1, 1]))
    report = scan(file.encode())
    assert (report.verdict, report.findings[-1].code) == ("flag", "control_token_type")
    assert report.facts is not None
    assert "<|end|>" in report.facts.control_tokens


def test_a_marker_that_is_a_word_and_not_used_is_no_finding_and_still_filtered() -> None:
    """Qwen 2.5 has `<s>` and `</s>` among its byte pairs; only the trial must know."""
    file = SOUND.with_value("tokenizer.ggml.tokens", array(STRING, ["<s>", "</s>", "<|end|>"]))
    facts = scan(file.encode()).facts
    assert facts is not None
    assert facts.control_tokens == ("<s>", "</s>", "<|end|>")
    assert facts.word_markers == ("</s>",)


def test_merging_vocabularies_need_merges_and_know_how_to_split() -> None:
    file = SOUND.with_value("tokenizer.ggml.model", scalar(STRING, "gpt2"))
    assert worst_code(file.encode()) == ("reject", "merges")
    file = file.with_value("tokenizer.ggml.merges", array(STRING, ["a b"]))
    for pre, found in (("qwen2", ("accept", "")), ("bert-bge", ("reject", "tokenizer_pre"))):
        named = file.with_value("tokenizer.ggml.pre", scalar(STRING, pre))
        assert worst_code(named.encode()) == found
    unused = SOUND.with_value("tokenizer.ggml.pre", scalar(STRING, "llama-spm"))
    assert worst_code(unused.encode()) == ("accept", "")


def test_a_token_with_nul_is_refused() -> None:
    """The engine reads it up to there, other readers all of it."""
    file = SOUND.with_value("tokenizer.ggml.tokens", array(STRING, ["<s>", "a\0b", "<|end|>"]))
    assert worst_code(file.encode()) == ("reject", "string_nul")


def test_a_sound_map_and_merges_are_accepted() -> None:
    file = SOUND.with_value("tokenizer.ggml.precompiled_charsmap", charsmap(4, b"\0\0\0\0abc\0"))
    file = file.with_value("tokenizer.ggml.merges", array(STRING, ["a b", "  c"]))
    assert worst_code(file.encode()) == ("accept", "")
