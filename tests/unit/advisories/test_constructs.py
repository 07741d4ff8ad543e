"""What a flaw needs in a file is refused by the rule that the advisory names, one file for each."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from corral.advisories.database import shipped_records
from tests.support.gguf_file import F32, I32, STRING, U32, GgufFile, array, of_shape, scalar
from tests.support.scanned import scan

SOUND = GgufFile()
RECORDS = {record.id: record for record in shipped_records()}


def header(tensors: int, values: int) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, values)


def tensor(**changes: object) -> bytes:
    first, *rest = SOUND.tensors
    return replace(SOUND, tensors=(replace(first, **changes), *rest)).encode()  # type: ignore[arg-type]


def value(key: str, raw: bytes) -> bytes:
    return SOUND.with_value(key, raw).encode()


def template(text: str) -> bytes:
    return value("tokenizer.chat_template", scalar(STRING, text))


def lora(rank: int = 4, kind: str = "lora") -> bytes:
    values = {
        "general.architecture": scalar(STRING, "llama"),
        "general.type": scalar(STRING, "adapter"),
        "adapter.type": scalar(STRING, kind),
        "adapter.lora.alpha": scalar(F32, 8),
    }
    name = "blk.0.attn_q.weight"
    pair = (of_shape(f"{name}.lora_a", 64, 4), of_shape(f"{name}.lora_b", rank, 64))
    return GgufFile(values=dict(values), tensors=pair).encode()  # type: ignore[arg-type]


def tiny_vocabulary() -> bytes:
    file = SOUND.with_value("tokenizer.ggml.eos_token_id", None)
    for key, raw in (
        ("tokens", array(STRING, ["a"])), ("token_type", array(I32, [1])),
        ("scores", array(F32, [0])),
    ):  # fmt: skip
        file = file.with_value(f"tokenizer.ggml.{key}", raw)
    return file.encode()


def byte_token() -> bytes:
    file = SOUND.with_value("tokenizer.ggml.tokens", array(STRING, ["<s>", "<0x-1>", "<|end|>"]))
    return file.with_value("tokenizer.ggml.token_type", array(I32, [3, 6, 3])).encode()


def no_vocabulary() -> bytes:
    file = SOUND.with_value("tokenizer.ggml.model", scalar(STRING, "no_vocab"))
    return file.with_value("llama.vocab_size", scalar(U32, 0xFFFFFFFF)).encode()


def vector() -> bytes:
    values = {
        "general.architecture": scalar(STRING, "controlvector"),
        "controlvector.layer_count": scalar(U32, 4),
    }
    tensors = (of_shape("direction.536870912", 64),)
    return GgufFile(values=dict(values), tensors=tensors).encode()  # type: ignore[arg-type]


def quantised_beyond_the_end() -> bytes:
    *others, last = SOUND.tensors
    evil = replace(last, kind=8, shape=(1 << 59, 1))
    return replace(SOUND, tensors=(*others, evil)).encode()


MANY_KV = header(0, 1 << 63)
LONG_ARRAY = value("x.y", struct.pack("<IIQ", 9, 4, 1 << 62))
LONG_STRING = value("x.y", struct.pack("<IQ", 8, 1 << 62))
WRAPPING_SIDES = tensor(shape=(1 << 32, 1 << 32))
WRAPPING_BYTES = tensor(shape=(1 << 62,))
BEYOND_THE_END = replace(SOUND, cut_bytes=64).encode()
CUT_OFF = SOUND.encode()[:60]
ZIP = b"PK\3\4" + b"\0" * 100
SSTI = template("{{ ''.__class__.__mro__ }}")
BOMB = template("{{ 'A' * 3000000000 }}")
NO_LAYERS = value("llama.block_count", scalar(U32, 0))

CASES: dict[str, dict[str, bytes]] = {
    "CVE-2024-23605": {"n_kv": MANY_KV},
    "CVE-2024-21802": {"ne_overflow": WRAPPING_SIDES},
    "CVE-2024-21825": {"array_length": LONG_ARRAY},
    "CVE-2024-21836": {"n_tensors": header(1 << 60, 1)},
    "CVE-2024-23496": {"string_length": LONG_STRING},
    "CVE-2024-32878": {"truncated": CUT_OFF},
    "CVE-2024-41130": {
        "truncated": CUT_OFF, "key_length": header(0, 1) + b"\xff" * 40,
    },
    "CVE-2025-49847": {
        "token_length": value("tokenizer.ggml.tokens", array(STRING, ["<s>", "a" * 1025, "b"])),
    },
    "GHSA-g4cc-763q-h9h6": {"vocab_size": tiny_vocabulary()},
    "CVE-2025-53630": {"nbytes_overflow": WRAPPING_BYTES, "data_extent": BEYOND_THE_END},
    "CVE-2026-33298": {"nbytes_overflow": WRAPPING_BYTES, "ne_overflow": WRAPPING_SIDES},
    "CVE-2026-27940": {"nbytes_overflow": WRAPPING_BYTES},
    "CORRAL-2026-0001": {
        "key_charset": value("tokenizer.chat_template\0x", scalar(STRING, "hidden")),
    },
    "CORRAL-2026-0002": {"token_byte_syntax": byte_token()},
    "CORRAL-2026-0003": {
        "tokenizer_array_type": value("tokenizer.ggml.scores", array(I32, [0, 0, 0])),
    },
    "CORRAL-2026-0004": {"ne": tensor(shape=(32, 0))},
    "CORRAL-2026-0005": {"ne_overflow": WRAPPING_SIDES},
    "CORRAL-2026-0006": {"alignment": value("general.alignment", scalar(I32, 32))},
    "CORRAL-2026-0007": {"alignment": value("general.alignment", scalar(U32, 16))},
    "CORRAL-2026-0008": {
        "data_extent": quantised_beyond_the_end(), "ne_overflow": WRAPPING_SIDES,
    },
    "CORRAL-2026-0009": {"cvector_layer": vector()},
    "CORRAL-2026-0010": {
        "sampling_defaults": value("general.sampling.penalty_repeat", scalar(F32, -1)),
    },
    "CORRAL-2026-0011": {"template_dos": template("{{ " + "(" * 6000)},
    "CORRAL-2026-0012": {
        "n_layer": value("llama.block_count", scalar(U32, 513)),
        "n_expert": value("llama.expert_count", scalar(U32, 1025)),
    },
    "CORRAL-2026-0013": {"lora_shape": lora(rank=8), "artifact_type": lora(kind="none")},
    "CORRAL-2026-0014": {"vocab_size": no_vocabulary()},
    "CORRAL-2026-0016": {"array_length": LONG_ARRAY, "n_kv": MANY_KV},
    "CVE-2024-34359": {"template_ssti": SSTI},
    "PYSEC-2026-387": {"template_ssti": SSTI},
    "CVE-2026-5760": {"template_ssti": SSTI},
    "CVE-2026-115911": {"template_dos": BOMB},
    "CVE-2024-45436": {"magic": ZIP},
    "CVE-2024-7773": {"magic": ZIP},
    "CVE-2024-39720": {"truncated": b"GGUF"},
    "CVE-2024-12055": {"truncated": CUT_OFF},
    "CVE-2025-0312": {"truncated": CUT_OFF},
    "CVE-2025-0315": {"array_length": LONG_ARRAY, "string_length": LONG_STRING},
    "CVE-2025-0317": {"n_layer": NO_LAYERS},
    "CVE-2024-8063": {"n_layer": NO_LAYERS},
    "CVE-2025-66959": {"string_length": LONG_STRING},
    "CVE-2025-66960": {"version": replace(SOUND, version=1).encode()},
    "CVE-2026-65315": {"array_length": LONG_ARRAY, "string_length": LONG_STRING},
    "CVE-2026-5757": {"data_extent": BEYOND_THE_END},
    "CVE-2026-7482": {"data_extent": BEYOND_THE_END},
}  # fmt: skip


def test_every_rule_that_an_advisory_names_has_a_file() -> None:
    named = {i: set(r.corral.constructs) for i, r in RECORDS.items() if r.corral.constructs}
    assert named == {i: set(files) for i, files in CASES.items()}


@pytest.mark.claim("ADV-02")
@pytest.mark.parametrize(
    ("advisory", "code"),
    [(advisory, code) for advisory, files in CASES.items() for code in files],
)
def test_the_construct_is_refused(advisory: str, code: str) -> None:
    report = scan(CASES[advisory][code])
    assert report.verdict in {"reject", "flag"}
    assert code in {f.code for f in report.findings if f.severity in {"reject", "flag"}}
    assert scan(SOUND.encode()).verdict == "accept", "the control: without the construct it passes"
