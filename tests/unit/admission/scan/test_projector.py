"""Projectors beside the model that they are for: each size that the engine builds by is held."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.additions import PROJECTOR
from tests.support.gguf_file import (
    BOOL,
    F32,
    I32,
    STRING,
    U32,
    WIDTH,
    GgufFile,
    array,
    of_shape,
    scalar,
)
from tests.support.scanned import scan

FITTING = replace(
    PROJECTOR.with_value("clip.vision.projection_dim", scalar(U32, WIDTH)),
    tensors=(of_shape("mm.0.weight", 64, WIDTH), of_shape("v.patch_embd.bias", 64)),
)
NAN = b"\x00\x00\xc0\x7f"


def vision(name: str, value: bytes | None) -> GgufFile:
    return FITTING.with_value(f"clip.vision.{name}", value)


ATTACKS: dict[str, tuple[str, GgufFile]] = {
    "for nothing": ("clip_hparams", FITTING.with_value("clip.has_vision_encoder", scalar(BOOL, 0))),
    "a flag of another type": (
        "kv_type_expected", FITTING.with_value("clip.use_gelu", scalar(U32, 1)),
    ),
    "a flag that is a text": (
        "kv_type_expected", FITTING.with_value("clip.has_vision_encoder", scalar(STRING, "yes")),
    ),
    "of no kind": ("clip_hparams", FITTING.with_value("clip.projector_type", None)),
    "of a kind that nobody knows": (
        "clip_hparams", FITTING.with_value("clip.projector_type", scalar(STRING, "evil")),
    ),
    "of two kinds, one unknown": (
        "clip_hparams", FITTING.with_value("clip.vision.projector_type", scalar(STRING, "evil")),
    ),
    "no side": ("clip_hparams", vision("image_size", scalar(U32, 0))),
    "a side as long as numbers go": ("clip_hparams", vision("image_size", scalar(U32, 2**31))),
    "a patch of nothing": ("clip_hparams", vision("patch_size", scalar(U32, 0))),
    "a patch larger than the image": ("clip_hparams", vision("patch_size", scalar(U32, 337))),
    "a patch below zero": ("clip_hparams", vision("patch_size", scalar(I32, -14))),
    "more patches than there is room for": (
        "clip_hparams",
        vision("image_size", scalar(U32, 8192)).with_value(
            "clip.vision.patch_size", scalar(U32, 7)
        ),
    ),
    "no width": ("clip_hparams", vision("embedding_length", scalar(U32, 0))),
    "no width said": ("not_a_model", vision("embedding_length", None)),
    "no heads": ("clip_hparams", vision("attention.head_count", scalar(U32, 0))),
    "heads that do not divide": ("clip_hparams", vision("attention.head_count", scalar(U32, 3))),
    "no layers": ("clip_hparams", vision("block_count", scalar(U32, 0))),
    "too many layers": ("clip_hparams", vision("block_count", scalar(U32, 513))),
    "layers below zero": ("clip_hparams", vision("block_count", scalar(I32, -1))),
    "an epsilon that is none": (
        "float_nonfinite",
        vision("attention.layer_norm_epsilon", scalar(F32, float("nan"))),
    ),
    "two colours": ("clip_hparams", vision("image_mean", array(F32, [0.5] * 2))),
    "colours of another type": ("clip_hparams", vision("image_mean", array(I32, [1] * 3))),
    "no colours": ("clip_hparams", vision("image_mean", None)),
    "a division by nothing": ("clip_hparams", vision("image_std", array(F32, [0.5, 0.0, 0.5]))),
    "a layer that is not there": ("clip_hparams", vision("feature_layer", array(I32, [3]))),
    "a layer far below zero": ("clip_hparams", vision("feature_layer", array(I32, [-2]))),
    "a merge of nothing": ("clip_hparams", vision("spatial_merge_size", scalar(U32, 0))),
    "a scale above all patches": (
        "clip_hparams", vision("projector.scale_factor", scalar(U32, 25)),
    ),
    "a scale of nothing": ("clip_hparams", vision("projector.scale_factor", scalar(U32, 0))),
    "an image of a thousand pieces": (
        "clip_hparams", vision("preproc_image_size", scalar(U32, 16 * 336 + 1)),
    ),
    "pixels without end": ("clip_hparams", vision("image_max_pixels", scalar(U32, 2**32 - 1))),
    "half a size to cut to": (
        "clip_hparams", vision("image_grid_pinpoints", array(I32, [336, 672, 336])),
    ),
    "a size of nothing to cut to": (
        "clip_hparams", vision("image_grid_pinpoints", array(I32, [0, 336])),
    ),
    "for another model": (
        "clip_hparams",
        replace(
            vision("projection_dim", scalar(U32, 2 * WIDTH)),
            tensors=(of_shape("mm.0.weight", 64, 2 * WIDTH),),
        ),
    ),
    "numbers that are none": (
        "weights_nonfinite",
        replace(
            FITTING,
            tensors=(
                replace(of_shape("mm.0.weight", 64, WIDTH), data=NAN * (64 * WIDTH)),
            ),
        ),
    ),
    "a shape without end": (
        "ne_overflow",
        replace(FITTING, tensors=(replace(of_shape("mm.0.weight", 64), shape=(2**62, 2**62)),)),
    ),
    "something behind its end": ("trailing_bytes", replace(FITTING, tail=b"PK\x03\x04" * 16)),
    "a file cut off": ("data_extent", replace(FITTING, cut_bytes=64)),
    "a model that says projector": (
        "artifact_type", GgufFile().with_value("general.type", scalar(STRING, "mmproj")),
    ),
}  # fmt: skip


MODEL = GgufFile().encode()


@pytest.mark.claim("VISION-02")
@pytest.mark.parametrize(("code", "file"), ATTACKS.values(), ids=ATTACKS)
def test_a_hostile_projector_is_refused(code: str, file: GgufFile) -> None:
    report = scan(file.encode(), companion="base", model=MODEL)
    assert report.verdict == "reject"
    assert [one.code for one in report.findings if one.severity == "reject"] == [code]


@pytest.mark.claim("VISION-02")
def test_a_sound_one_is_accepted_with_what_its_encoder_takes() -> None:
    report = scan(FITTING.encode(), companion="base", model=MODEL)
    assert (report.verdict, report.kind) == ("accept", "projector")
    found = report.projector
    assert found is not None
    assert (found.images, found.sounds) == (True, False)
    assert found.memory_bytes == 24 * 24 * (2 * 64 + 10 * 64) * 4
    any_size = FITTING.with_value("clip.projector_type", scalar(STRING, "pixtral"))
    taken = scan(any_size.encode(), companion="base", model=MODEL).projector
    assert taken is not None
    assert taken.memory_bytes > found.memory_bytes
    more = vision("image_max_pixels", scalar(U32, 4 * 336 * 336))
    taken = scan(more.encode(), companion="base", model=MODEL).projector
    assert taken is not None
    assert taken.memory_bytes == 4 * found.memory_bytes
