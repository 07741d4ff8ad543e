"""The structural scanner on sound, broken and random files."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.admission.report import parse_report
from corral.admission.scan.examination import scan_descriptor
from tests.support.gguf_file import (
    BOOL,
    F32,
    I32,
    STRING,
    U32,
    GgufFile,
    GgufTensor,
    array,
    scalar,
    sound_tensors,
    text,
)
from tests.support.scanned import scan

SOUND = GgufFile()


def tensor(**changes: object) -> GgufFile:
    first, *rest = SOUND.tensors
    return replace(SOUND, tensors=(replace(first, **changes), *rest))  # type: ignore[arg-type]


def test_a_sound_file_is_accepted_with_its_facts() -> None:
    report = scan(SOUND.encode())
    assert report.verdict == "accept"
    assert report.facts is not None
    assert report.facts.architecture == "llama"
    assert report.facts.context_train_tokens == 2048
    # 2 layers x 2 heads x (8 + 8) values x 2 bytes
    assert report.facts.memory.kv_bytes_per_token == 128
    assert report.facts.memory.weights_bytes == sum(t.size_bytes for t in SOUND.tensors)
    assert report.facts.parameters * 4 == report.facts.memory.weights_bytes
    assert report.facts.quantisation == "F32"
    assert report.facts.has_chat_template
    assert report.facts.control_tokens == ("<s>", "<|end|>")


def test_a_marker_counts_as_control_token_whatever_type_the_file_gives_it() -> None:
    hidden = SOUND.with_value("tokenizer.ggml.token_type", array(I32, [1, 1, 4]))
    report = scan(hidden.encode())
    assert report.facts is not None
    assert report.facts.control_tokens == ("<s>", "<|end|>")


def test_a_vocabulary_without_types_is_refused() -> None:
    report = scan(SOUND.with_value("tokenizer.ggml.token_type", None).encode())
    assert (report.verdict, report.findings[0].code) == ("reject", "token_types")


def test_heads_may_differ_between_layers() -> None:
    file = SOUND.with_value("llama.attention.head_count_kv", array(I32, [4, 0]))
    file = replace(file, tensors=sound_tensors((4, 0)))
    facts = scan(file.encode()).facts
    assert facts is not None
    assert facts.memory.kv_bytes_per_token == 4 * 16 * 2


def test_no_template_is_a_remark() -> None:
    report = scan(SOUND.with_value("tokenizer.chat_template", None).encode())
    assert report.verdict == "accept"
    assert [f.code for f in report.findings] == ["no_chat_template"]


BROKEN: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty": ("truncated", lambda: b""),
    "magic": ("magic", replace(SOUND, magic=b"FUGG").encode),
    "zip": ("magic", lambda: b"PK\3\4" + b"\0" * 100),
    "version 1": ("version", replace(SOUND, version=1).encode),
    "version 4": ("version", replace(SOUND, version=4).encode),
    "big endian": ("endianness", replace(SOUND, version=3 << 24).encode),
    "tensor count": ("n_tensors", lambda: b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 1)),
    "value count": ("n_kv", lambda: b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 63)),
    "cut in header": ("truncated", lambda: SOUND.encode()[:20]),
    "no architecture": (
        "not_a_model",
        SOUND.with_value("general.architecture", None).encode,
    ),
    "unknown architecture": (
        "architecture",
        SOUND.with_value("general.architecture", scalar(STRING, "\x1b[2Jx")).encode,
    ),
    "architecture is a number": (
        "kv_type_expected",
        SOUND.with_value("general.architecture", scalar(U32, 1)).encode,
    ),
    "adapter": (
        "artifact_type", SOUND.with_value("general.type", scalar(STRING, "adapter")).encode,
    ),
    "key empty": ("key_empty", SOUND.with_value("", scalar(U32, 1)).encode),
    "key long": ("key_length", SOUND.with_value("k" * 300, scalar(U32, 1)).encode),
    "key with NUL": (
        "key_charset",
        SOUND.with_value("tokenizer.chat_template\0x", scalar(STRING, "evil")).encode,
    ),
    "key not ASCII": ("key_charset", SOUND.with_value("gеneral.x", scalar(U32, 1)).encode),
    "value type": ("kv_type", SOUND.with_value("x.y", struct.pack("<II", 13, 0)).encode),
    "array type": ("kv_type", SOUND.with_value("x.y", struct.pack("<IIQ", 9, 13, 0)).encode),
    "array in array": (
        "array_nested",
        SOUND.with_value("x.y", struct.pack("<IIQ", 9, 9, 1)).encode,
    ),
    "array length": (
        "array_length",
        SOUND.with_value("x.y", struct.pack("<IIQ", 9, 4, 1 << 62)).encode,
    ),
    "string length": (
        "string_length",
        SOUND.with_value("x.y", struct.pack("<IQ", 8, 1 << 40)).encode,
    ),
    "string NUL": ("string_nul", SOUND.with_value("x.y", scalar(STRING, "a\0b")).encode),
    "string UTF-8": ("string_utf8", SOUND.with_value("x.y", scalar(STRING, b"\xff")).encode),
    "boolean": ("bool_value", SOUND.with_value("x.y", scalar(BOOL, 2)).encode),
    "NaN": ("float_nonfinite", SOUND.with_value("x.y", scalar(F32, float("nan"))).encode),
    "alignment 13": ("alignment", SOUND.with_value("general.alignment", scalar(U32, 13)).encode),
    "alignment type": ("alignment", SOUND.with_value("general.alignment", scalar(I32, 32)).encode),
    "layers 0": ("n_layer", SOUND.with_value("llama.block_count", scalar(U32, 0)).encode),
    "layers many": ("n_layer", SOUND.with_value("llama.block_count", scalar(U32, 1 << 31)).encode),
    "layers missing": ("not_a_model", SOUND.with_value("llama.block_count", None).encode),
    "layers text": (
        "kv_type_expected",
        SOUND.with_value("llama.block_count", scalar(STRING, "2")).encode,
    ),
    "layers list": (
        "kv_type_expected",
        SOUND.with_value("llama.block_count", array(U32, [2])).encode,
    ),
    "heads 0": ("n_head", SOUND.with_value("llama.attention.head_count", scalar(U32, 0)).encode),
    "heads list short": (
        "hparam_array",
        SOUND.with_value("llama.attention.head_count_kv", array(U32, [2])).encode,
    ),
    "kv heads 3": (
        "n_head_kv",
        SOUND.with_value("llama.attention.head_count_kv", scalar(U32, 3)).encode,
    ),
    "context 0": (
        "kv_cache_bytes", SOUND.with_value("llama.context_length", scalar(U32, 0)).encode,
    ),
    "no tokens": ("vocab_size", SOUND.with_value("tokenizer.ggml.tokens", None).encode),
    "tokens not texts": (
        "tokenizer_array_type",
        SOUND.with_value("tokenizer.ggml.tokens", array(I32, [1, 2, 3])).encode,
    ),
    "token types short": (
        "tokenizer_array_length",
        SOUND.with_value("tokenizer.ggml.token_type", array(I32, [1])).encode,
    ),
    "token types float": (
        "tokenizer_array_type",
        SOUND.with_value("tokenizer.ggml.token_type", array(F32, [1, 1, 1])).encode,
    ),
    "token types scalar": (
        "kv_type_expected",
        SOUND.with_value("tokenizer.ggml.token_type", scalar(I32, 1)).encode,
    ),
    "control token long": (
        "control_tokens",
        SOUND.with_value("tokenizer.ggml.tokens", array(STRING, ["x" * 200, "a", "b"])).encode,
    ),
    "sampling": (
        "sampling_defaults",
        SOUND.with_value("general.sampling.penalty_repeat", scalar(F32, -1)).encode,
    ),
    "no tensors": ("not_a_model", replace(SOUND, tensors=()).encode),
    "tensor name empty": ("tensor_name_length", tensor(name="").encode),
    "tensor name long": ("tensor_name_length", tensor(name="n" * 64).encode),
    "tensor name escape": ("tensor_name_charset", tensor(name="\x1b[31m").encode),
    "tensor twice": ("tensor_duplicate", tensor(name="output_norm.weight").encode),
    "dimensions 0": ("n_dims", tensor(shape=()).encode),
    "dimensions 5": ("n_dims", tensor(shape=(2, 2, 2, 2, 2)).encode),
    "side 0": ("ne", tensor(shape=(32, 0)).encode),
    "product wraps": ("ne_overflow", tensor(shape=(1 << 32, 1 << 32)).encode),
    "type unknown": ("tensor_type", tensor(kind=99).encode),
    "type removed": ("tensor_type", tensor(kind=4).encode),
    "blocks": ("block_size", tensor(kind=2, shape=(33,)).encode),
    "bytes": ("nbytes_overflow", tensor(shape=(1 << 62,)).encode),
    "offset": ("offset", tensor(offset=64).encode),
    "overlap": (
        "offset",
        replace(SOUND, tensors=(*SOUND.tensors, GgufTensor("c", offset=0))).encode,
    ),
    "data short": ("data_extent", replace(SOUND, cut_bytes=1).encode),
    "polyglot": ("trailing_bytes", replace(SOUND, tail=b"PK\5\6" + b"\0" * 60).encode),
}  # fmt: skip


@pytest.mark.claim("ADM-07")
@pytest.mark.parametrize(("code", "make"), BROKEN.values(), ids=BROKEN)
def test_each_broken_file_is_rejected_by_its_code(code: str, make: Callable[[], bytes]) -> None:
    report = scan(make())
    assert report.verdict == "reject"
    assert next(f.code for f in report.findings if f.severity == "reject") == code
    assert all(f.message.isprintable() and f.where.isprintable() for f in report.findings)


def test_a_key_that_occurs_twice() -> None:
    raw = SOUND.encode()
    first = text("llama.block_count") + scalar(U32, 2)
    again = raw[:16] + struct.pack("<Q", len(SOUND.values) + 1) + first + raw[24:]
    assert [f.code for f in scan(again).findings] == ["key_duplicate"]


def test_a_model_that_is_not_causal_is_flagged() -> None:
    report = scan(SOUND.with_value("llama.attention.causal", scalar(BOOL, 0)).encode())
    assert report.verdict == "flag"
    assert [f.code for f in report.findings] == ["causal_attn"]


@pytest.mark.claim("ADM-17")
@pytest.mark.parametrize(
    ("key", "template", "verdict", "code"),
    [("tokenizer.chat_template", "{{ ''.__class__.__mro__ }}", "flag", "template_ssti"),
     ("tokenizer.chat_template.tool_use", "{{ ''.__class__.__mro__ }}", "flag", "template_ssti"),
     ("tokenizer.chat_template", "{% include 'x' %}", "flag", "template_io"),
     ("tokenizer.chat_template", "{{ 'A' * 3000000000 }}", "flag", "template_dos"),
     ("tokenizer.chat_template", "{{ " + "(" * 6000, "flag", "template_dos"),
     ("tokenizer.chat_template", "{% for m in messages %}", "reject", "template_syntax")],
)  # fmt: skip
def test_every_chat_template_is_examined(key: str, template: str, verdict: str, code: str) -> None:
    report = scan(SOUND.with_value(key, scalar(STRING, template)).encode())
    assert report.verdict == verdict
    assert code in {f.code for f in report.findings} | {""}


@pytest.mark.claim("ADM-07")
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_mutation_escapes_the_report(data: st.DataObject) -> None:
    raw = bytearray(SOUND.encode())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    report = scan(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    assert all(f.code != "scanner_error" for f in report.findings)
    assert report.verdict == "reject" or report.facts is not None


def test_only_regular_files_are_read() -> None:
    reading, writing = os.pipe()
    try:
        assert [f.code for f in scan_descriptor(reading).findings] == ["not_a_file"]
    finally:
        os.close(reading)
        os.close(writing)


def test_a_closed_descriptor_is_a_rejection() -> None:
    assert scan_descriptor(9999).findings[0].code == "scanner_error"


def test_the_program_prints_one_report_line(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(SOUND.encode())
    command = [sys.executable, "-I", "-B", "-m", "corral.admission.scan.job"]
    done = subprocess.run(
        [*command, "--candidate", str(path)], check=True, capture_output=True, timeout=60
    )
    report = parse_report(done.stdout)
    assert report is not None
    assert report.verdict == "accept"
