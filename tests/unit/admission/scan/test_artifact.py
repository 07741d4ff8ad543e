"""Adapters, control vectors, projectors, parts of models: what each must be, and is not."""

import struct
from dataclasses import replace

import pytest

from tests.support.additions import LORA, PROJECTOR, VECTOR
from tests.support.gguf_file import (
    ARRAY,
    BOOL,
    F32,
    I32,
    STRING,
    U32,
    GgufFile,
    GgufTensor,
    array,
    of_shape,
    scalar,
)  # fmt: skip
from tests.support.scanned import scan, worst_code


def lora(*tensors: GgufTensor) -> GgufFile:
    return replace(LORA, tensors=tensors)


def u16(value: int) -> bytes:
    return struct.pack("<IH", 2, value)


ACCEPTED = {"adapter": LORA, "control_vector": VECTOR, "projector": PROJECTOR}


@pytest.mark.parametrize(("kind", "file"), ACCEPTED.items(), ids=ACCEPTED)
def test_a_sound_one_is_accepted_and_is_no_model(kind: str, file: GgufFile) -> None:
    report = scan(file.encode())
    assert (report.verdict, report.kind, report.facts) == ("accept", kind, None)


BROKEN: dict[str, tuple[str, GgufFile]] = {
    "adapter that says model": (
        "artifact_type", LORA.with_value("general.type", scalar(STRING, "model")),
    ),
    "adapter that says nothing": ("artifact_type", LORA.with_value("general.type", None)),
    "calibration as model": (
        "artifact_type", GgufFile().with_value("general.type", scalar(STRING, "imatrix")),
    ),
    "adapter of no known kind": (
        "artifact_type", LORA.with_value("adapter.type", scalar(STRING, "dora")),
    ),
    "adapter of no architecture": (
        "lora_arch", LORA.with_value("general.architecture", scalar(STRING, "x")),
    ),
    "adapter without scale": ("lora_scale", LORA.with_value("adapter.lora.alpha", None)),
    "adapter that drowns its base": (
        "lora_scale", LORA.with_value("adapter.lora.alpha", scalar(F32, 1000)),
    ),
    "adapter without partner": ("lora_target", lora(LORA.tensors[0])),
    "adapter for nothing": ("lora_target", lora(of_shape("evil.weight.lora_a", 4, 4))),
    "ranks differ": (
        "lora_shape",
        lora(LORA.tensors[0], of_shape("blk.0.attn_q.weight.lora_b", 8, 64)),
    ),
    "third dimension": (
        "lora_shape",
        lora(of_shape("blk.0.attn_q.weight.lora_a", 64, 4, 2), LORA.tensors[1]),
    ),
    "ranks of embeddings differ": (
        "lora_shape",
        lora(
            of_shape("token_embd.weight.lora_a", 4, 99), of_shape("token_embd.weight.lora_b", 8, 64)
        ),
    ),
    "direction of no layer": (
        "cvector_layer", replace(VECTOR, tensors=(of_shape("direction.5", 64),)),
    ),
    "direction that overflows": (
        "cvector_layer", replace(VECTOR, tensors=(of_shape("direction.536870912", 64),)),
    ),
    "direction 0": ("cvector_layer", replace(VECTOR, tensors=(of_shape("direction.0", 64),))),
    "no direction": ("tensor_unexpected", replace(VECTOR, tensors=(of_shape("x", 64),))),
    "direction in two dimensions": (
        "tensor_shape", replace(VECTOR, tensors=(of_shape("direction.1", 64, 2),)),
    ),
    **{
        f"projector {key}": ("clip_hparams", PROJECTOR.with_value(f"clip.{key}", value))
        for key, value in {
            "has_vision_encoder": scalar(BOOL, 0),
            "vision.image_size": scalar(U32, 2**31 - 1),
            "vision.patch_size": scalar(U32, 0),
            "vision.block_count": scalar(U32, 2**31),
            "vision.attention.head_count": scalar(U32, 3),
            "vision.embedding_length": scalar(U32, 0),
            "vision.spatial_merge_size": scalar(U32, 0),
            "vision.image_mean": array(F32, [0.5]),
            "vision.image_std": array(F32, [0.5, 0.0, 0.5]),
            "projector_type": scalar(STRING, "evil"),
            "vision.feature_layer": array(I32, [2**31 - 1, -1]),
        }.items()
    },
    "more patches than the engine has room for": (
        "clip_hparams",
        PROJECTOR.with_value("clip.vision.image_size", scalar(U32, 8192)).with_value(
            "clip.vision.patch_size", scalar(U32, 1)
        ),
    ),
    "projector of no kind": ("clip_hparams", PROJECTOR.with_value("clip.projector_type", None)),
    "projector with something behind it": ("trailing_bytes", replace(PROJECTOR, tail=b"x" * 64)),
    "tokens that begin an adapter's work and do not exist": (
        "token_id", LORA.with_value("adapter.alora.invocation_tokens", array(U32, [1 << 20])),
    ),
    "tokens that begin an adapter's work and are texts": (
        "token_id", LORA.with_value("adapter.alora.invocation_tokens", array(STRING, ["a"])),
    ),
    "one part of a model": (
        "split",
        GgufFile().with_value("split.no", u16(0)).with_value("split.count", u16(2))
        .with_value("split.tensors.count", scalar(I32, 40)),
    ),
    "a part that says half": ("split", GgufFile().with_value("split.no", u16(0))),
    "a part of another type": (
        "split",
        GgufFile().with_value("split.no", scalar(U32, 0)).with_value("split.count", u16(1))
        .with_value("split.tensors.count", scalar(I32, 40)),
    ),
}  # fmt: skip


@pytest.mark.claim("ADM-07")
@pytest.mark.parametrize(("code", "file"), BROKEN.values(), ids=BROKEN)
def test_a_broken_one_is_refused_by_its_code(code: str, file: GgufFile) -> None:
    assert worst_code(file.encode()) == ("reject", code)


def test_a_model_in_one_part_is_whole() -> None:
    file = GgufFile().with_value("split.no", u16(0)).with_value("split.count", u16(1))
    file = file.with_value("split.tensors.count", scalar(I32, 20))
    assert worst_code(file.encode()) == ("accept", "")


def test_a_blob_in_a_key_of_its_own_is_flagged() -> None:
    blob = struct.pack("<IIQ", ARRAY, 0, 4) + b"\x7fELF"
    report = scan(GgufFile().with_value("payload.elf", blob).encode())
    assert report.verdict == "flag"
    assert {"unknown_key", "embedded_payload"} <= {f.code for f in report.findings}


@pytest.mark.claim("POL-09")
@pytest.mark.parametrize("remarks", [0, 254, 256, 1000])
def test_remarks_do_not_crowd_out_what_is_wrong(remarks: int) -> None:
    """Only the first 256 findings used to be reported, and the verdict follows from those."""
    file = GgufFile()
    for number in range(remarks):
        file = file.with_value(f"maker.note{number}", scalar(STRING, "hi"))
    assert scan(file.encode()).verdict == ("accept" if remarks <= 256 else "flag")
    worse = file.with_value("maker.z", scalar(STRING, "a\u202eb"))
    worse = worse.with_value("llama.attention.causal", scalar(BOOL, 0))
    report = scan(worse.encode())
    codes = {f.code for f in report.findings}
    assert report.verdict == "flag"
    assert {"string_hidden", "causal_attn"} <= codes
    assert ("findings_cut" in codes) == (remarks > 253)
    assert len(report.findings) <= 256


def test_a_word_in_a_key_of_its_own_is_a_remark() -> None:
    report = scan(GgufFile().with_value("maker.note", scalar(STRING, "hi")).encode())
    assert report.verdict == "accept"
    assert [(f.code, f.severity) for f in report.findings] == [("unknown_key", "info")]
