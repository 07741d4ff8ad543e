"""A finding points to the bytes that it is about."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from corral.admission.report import Finding
from corral.admission.scan.container import Container
from corral.admission.scan.metadata import Metadata
from corral.admission.scan.places import placed
from tests.support.gguf_file import (
    BOOL,
    F32,
    I32,
    STRING,
    U32,
    GgufFile,
    GgufTensor,
    array,
    parts_of,
    scalar,
    text,
)
from tests.support.scanned import scan

SOUND = GgufFile()
TOKENS = "tokenizer.ggml.tokens"
NAN = struct.pack("<f", float("nan"))
BAD_NORM = replace(
    SOUND,
    tensors=tuple(
        replace(t, data=NAN * 32) if t.name == "output_norm.weight" else t for t in SOUND.tensors
    ),
)


def pair(key: str, value: bytes) -> bytes:
    return text(key) + value


def described(name: str, *shape: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)


EVIDENCE: dict[str, tuple[str, GgufFile, bytes]] = {
    "magic": ("magic", replace(SOUND, magic=b"GGUX"), b"GGUX"),
    "version": ("version", replace(SOUND, version=9), struct.pack("<I", 9)),
    "value while it is read": (
        "bool_value",
        SOUND.with_value("llama.attention.causal", struct.pack("<IB", BOOL, 7)),
        pair("llama.attention.causal", struct.pack("<IB", BOOL, 7)),
    ),
    "value afterwards": (
        "kv_type_expected",
        SOUND.with_value("llama.context_length", scalar(F32, 3)),
        pair("llama.context_length", scalar(F32, 3)),
    ),
    "number": (
        "float_nonfinite",
        SOUND.with_value("llama.rope.freq_base", scalar(F32, float("inf"))),
        pair("llama.rope.freq_base", scalar(F32, float("inf"))),
    ),
    "remark": (
        "unknown_key",
        SOUND.with_value("odd.key", scalar(U32, 3)),
        pair("odd.key", scalar(U32, 3)),
    ),
    "token": (
        "token_duplicate",
        SOUND.with_value(TOKENS, array(STRING, ["a", "a", "b"])),
        pair(TOKENS, array(STRING, ["a", "a", "b"])),
    ),
    "template": (
        "template_io",
        SOUND.with_value("tokenizer.chat_template", scalar(STRING, "{% include 'x' %}")),
        pair("tokenizer.chat_template", scalar(STRING, "{% include 'x' %}")),
    ),
    "template by name": (
        "template_io",
        SOUND.with_value("tokenizer.chat_template.tools", scalar(STRING, "{% include 'x' %}")),
        pair("tokenizer.chat_template.tools", scalar(STRING, "{% include 'x' %}")),
    ),
    "tensor while it is read": (
        "block_size",
        replace(SOUND, tensors=(*SOUND.tensors, GgufTensor("c", (33,), 2))),
        described("c", 33),
    ),
    "tensor afterwards": (
        "tensor_unexpected",
        replace(SOUND, tensors=(*SOUND.tensors, GgufTensor("c"))),
        described("c", 32),
    ),
    "weights": ("weights_nonfinite", BAD_NORM, NAN * 32),
    "tail": ("trailing_bytes", replace(SOUND, tail=b"hidden" * 9), b"hidden" * 9),
    "cut": ("data_extent", replace(SOUND, cut_bytes=1), b""),
}


@pytest.mark.parametrize(("code", "file", "evidence"), EVIDENCE.values(), ids=EVIDENCE)
def test_the_bytes_are_the_evidence(code: str, file: GgufFile, evidence: bytes) -> None:
    raw = file.encode()
    (finding,) = [f for f in scan(raw).findings if f.code == code]
    assert finding.offset is not None
    shown = raw[finding.offset : finding.offset + finding.length]
    assert shown.startswith(evidence)
    assert len(shown) == finding.length


def test_padding() -> None:
    raw = bytearray(SOUND.encode())
    data = len(raw) - sum(t.size_bytes for t in SOUND.tensors)
    raw[data - 1] = 1
    (finding,) = [f for f in scan(bytes(raw)).findings if f.code == "padding_bytes"]
    assert finding.offset is not None
    assert finding.offset < data == finding.offset + finding.length


@pytest.mark.parametrize(
    "make",
    [
        lambda: SOUND.with_value(TOKENS, None).encode(),
        lambda: replace(SOUND, tensors=()).encode(),
        lambda: SOUND.with_value("general.type", scalar(STRING, "adapter")).encode()[:0],
    ],
    ids=["missing key", "no tensors", "empty file"],
)
def test_what_is_not_there_has_no_bytes(make: Callable[[], bytes]) -> None:
    (finding,) = scan(make()).findings
    assert (finding.offset or 0, finding.length) == (0, 0)


def test_a_finding_about_a_set_has_no_place() -> None:
    first, second = (part.encode() for part in parts_of(SOUND, 2))
    report = scan(first, name="m-00001-of-00002.gguf", parts=[("odd.gguf", second)])
    assert [(f.code, f.offset) for f in report.findings] == [("split", None)]
    report = scan(
        first, name="m-00001-of-00002.gguf", parts=[("m-00002-of-00002.gguf", second[:90])]
    )
    assert [(f.code, f.offset) for f in report.findings] == [("truncated", None)]


def test_a_finding_about_the_base_points_to_nothing_of_the_file() -> None:
    values = Metadata(3, 0, {}, {"general.name": (24, 30)})
    finding = Finding("base_refused", "reject", "refused itself", "general.name")
    container = Container(-1, values, (), 60)
    assert placed((finding,), container) == (finding,)
    other = Finding("string_hidden", "flag", "odd", "general.name")
    assert [(f.offset, f.length) for f in placed((other,), container)] == [(24, 30)]
    assert placed((other,), None) == (other,)


def test_a_token_that_is_called_as_a_key_leads_to_the_tokens() -> None:
    file = SOUND.with_value(TOKENS, array(STRING, ["general.architecture"] * 3))
    raw = file.with_value("tokenizer.ggml.token_type", array(I32, [1, 1, 1])).encode()
    (finding,) = scan(raw).findings
    assert (finding.code, finding.where) == ("token_duplicate", "general.architecture")
    assert finding.offset is not None
    assert raw[finding.offset :].startswith(text(TOKENS))
