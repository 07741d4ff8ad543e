"""Adapters, control vectors, projectors, parts of models: what each must be, and is not."""

import os
import struct
from dataclasses import replace

import pytest

from corral.admission.scan.adapter import check_adapter
from corral.admission.scan.cursor import Cursor, ScanRefusal
from corral.admission.scan.metadata import Value, parse_metadata
from corral.admission.scan.tensors import Tensor
from corral.admission.scan.values import Values
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

LORA = GgufFile(
    values={
        "general.architecture": scalar(STRING, "llama"),
        "general.type": scalar(STRING, "adapter"),
        "adapter.type": scalar(STRING, "lora"),
        "adapter.lora.alpha": scalar(F32, 8),
    },
    tensors=(
        of_shape("blk.0.attn_q.weight.lora_a", 64, 4), of_shape("blk.0.attn_q.weight.lora_b", 4, 64)
    ),
)  # fmt: skip
VECTOR = GgufFile(
    values={
        "general.architecture": scalar(STRING, "controlvector"),
        "controlvector.layer_count": scalar(U32, 4),
    },
    tensors=(of_shape("direction.1", 64), of_shape("direction.4", 64)),
)
PROJECTOR = GgufFile(
    values={
        "general.architecture": scalar(STRING, "clip"),
        "general.type": scalar(STRING, "mmproj"),
        "clip.has_vision_encoder": scalar(BOOL, 1),
        "clip.projector_type": scalar(STRING, "mlp"),
        "clip.vision.image_size": scalar(U32, 336),
        "clip.vision.patch_size": scalar(U32, 14),
        "clip.vision.embedding_length": scalar(U32, 64),
        "clip.vision.feed_forward_length": scalar(U32, 64),
        "clip.vision.block_count": scalar(U32, 2),
        "clip.vision.projection_dim": scalar(U32, 64),
        "clip.vision.attention.head_count": scalar(U32, 4),
        "clip.vision.attention.layer_norm_epsilon": scalar(F32, 1e-5),
        "clip.vision.image_mean": array(F32, [0.5] * 3),
        "clip.vision.image_std": array(F32, [0.5] * 3),
    },
    tensors=(),
)


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
            "vision.feature_layer": array(I32, [2**31 - 1, -1]),
        }.items()
    },
    "more patches than the engine has room for": (
        "clip_hparams",
        PROJECTOR.with_value("clip.vision.image_size", scalar(U32, 8192)).with_value(
            "clip.vision.patch_size", scalar(U32, 1)
        ),
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


@pytest.mark.parametrize(
    ("shape", "code"), [((64, 64), ""), ((64, 32), "lora_shape"), (None, "lora_target")]
)
def test_an_adapter_is_held_against_its_base(shape: tuple[int, int] | None, code: str) -> None:
    def tensor(name: str, shape: tuple[int, ...]) -> Tensor:
        return Tensor(name, shape, "F32", 1, 4, 0)

    pair = tuple(tensor(str(t.name), t.shape) for t in LORA.tensors)
    base = {} if shape is None else {"blk.0.attn_q.weight": tensor("blk.0.attn_q.weight", shape)}
    values = Values(_parsed(LORA))
    if not code:
        check_adapter(values, pair, base)
        return
    with pytest.raises(ScanRefusal) as caught:
        check_adapter(values, pair, base)
    assert caught.value.code == code


def _parsed(file: GgufFile) -> dict[str, Value]:
    fd = os.memfd_create("file")
    try:
        os.write(fd, file.encode())
        return parse_metadata(Cursor(fd)).values
    finally:
        os.close(fd)


def test_a_blob_in_a_key_of_its_own_is_flagged() -> None:
    blob = struct.pack("<IIQ", ARRAY, 0, 4) + b"\x7fELF"
    report = scan(GgufFile().with_value("payload.elf", blob).encode())
    assert report.verdict == "flag"
    assert {"unknown_key", "embedded_payload"} <= {f.code for f in report.findings}


def test_a_word_in_a_key_of_its_own_is_a_remark() -> None:
    report = scan(GgufFile().with_value("maker.note", scalar(STRING, "hi")).encode())
    assert report.verdict == "accept"
    assert [(f.code, f.severity) for f in report.findings] == [("unknown_key", "info")]
