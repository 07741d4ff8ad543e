"""Adapters, projectors, control vectors and drafts, held against the model that they are for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from corral.admission.scan.request import Companion
from tests.support.additions import ADAPTER, LORA, PROJECTOR, VECTOR
from tests.support.gguf_file import (
    BOOL,
    F32,
    I32,
    STRING,
    TOKENS,
    U32,
    WIDTH,
    GgufFile,
    array,
    of_shape,
    scalar,
)  # fmt: skip
from tests.support.scanned import scan, verdict_of

BASE = GgufFile()
DIRECTIONS = replace(
    VECTOR, tensors=(of_shape("direction.1", WIDTH), of_shape("direction.2", WIDTH))
)
EYES = PROJECTOR.with_value("clip.vision.projection_dim", scalar(U32, WIDTH))
OLD_EYES = replace(PROJECTOR, tensors=(of_shape("mm.2.weight", 64, WIDTH),))
LONGER = [*TOKENS, *(f"w{number}" for number in range(128))]


def vocabulary(tokens: list[str], types: list[int] | None = None) -> GgufFile:
    file = BASE.with_values({
        "tokenizer.ggml.tokens": array(STRING, list(tokens)),
        "tokenizer.ggml.token_type": array(I32, types or [3, 1, 3, *[1] * (len(tokens) - 3)]),
        "tokenizer.ggml.scores": array(F32, [0.0] * len(tokens)),
    })  # fmt: skip
    rows = of_shape("token_embd.weight", WIDTH, len(tokens))
    return replace(file, tensors=(rows, *file.tensors[1:]))


FITTING: dict[str, tuple[Companion, GgufFile]] = {
    "adapter": ("base", ADAPTER),
    "control vector": ("base", DIRECTIONS),
    "projector": ("base", EYES),
    "projector by its last matrix": ("base", OLD_EYES),
    "draft": ("target", BASE),
    "draft with a padded vocabulary": ("target", vocabulary(LONGER)),
}


@pytest.mark.parametrize(("companion", "file"), FITTING.values(), ids=FITTING)
def test_what_fits_is_accepted(companion: Companion, file: GgufFile) -> None:
    report = scan(file.encode(), companion=companion, model=BASE.encode())
    assert (report.verdict, report.findings) == ("accept", ())


UNFIT: dict[str, tuple[tuple[str, str], Companion, GgufFile]] = {
    "another architecture": (
        ("reject", "lora_arch"), "base",
        ADAPTER.with_value("general.architecture", scalar(STRING, "qwen2")),
    ),
    "a target that is not there": (
        ("reject", "lora_target"), "base",
        replace(ADAPTER, tensors=(of_shape("blk.2.attn_q.weight.lora_a", WIDTH, 4),
                                  of_shape("blk.2.attn_q.weight.lora_b", 4, WIDTH))),
    ),
    "another width": (("reject", "lora_shape"), "base", LORA),
    "embeddings of another vocabulary": (
        ("reject", "lora_shape"), "base",
        replace(ADAPTER, tensors=(of_shape("token_embd.weight.lora_a", 4, 99),
                                  of_shape("token_embd.weight.lora_b", 4, WIDTH))),
    ),
    "a token that begins its work and is not there": (
        ("reject", "token_id"), "base",
        ADAPTER.with_value("adapter.alora.invocation_tokens", array(U32, [len(TOKENS)])),
    ),
    "a direction behind the last layer": (
        ("reject", "cvector_layer"), "base",
        replace(DIRECTIONS, tensors=(of_shape("direction.3", WIDTH),)),
    ),
    "directions of another width": (("reject", "tensor_shape"), "base", VECTOR),
    "directions for another architecture": (
        ("reject", "architecture"), "base",
        DIRECTIONS.with_value("controlvector.model_hint", scalar(STRING, "qwen2")),
    ),
    "a projector of another width": (("reject", "clip_hparams"), "base", PROJECTOR),
    "a model with a base": (("reject", "artifact_type"), "base", BASE),
    "an adapter as a draft": (("reject", "artifact_type"), "target", ADAPTER),
    "a vocabulary of another size": (
        ("flag", "draft_vocab"), "target", vocabulary([*LONGER, "one more"]),
    ),
    "another token": (("flag", "draft_vocab"), "target", vocabulary(["<s>", "b", "<|end|>"])),
    "a token of another type": (
        ("flag", "draft_vocab"), "target", vocabulary([*TOKENS], [3, 4, 3]),
    ),
    "another end": (
        ("flag", "draft_vocab"), "target",
        BASE.with_value("tokenizer.ggml.eos_token_id", scalar(U32, 0)),
    ),
    "begins otherwise": (
        ("flag", "draft_vocab"), "target",
        BASE.with_value("tokenizer.ggml.add_bos_token", scalar(BOOL, 1)),
    ),
}  # fmt: skip


@pytest.mark.claim("ADM-30")
@pytest.mark.parametrize(("found", "companion", "file"), UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit_is_refused_by_its_code(
    found: tuple[str, str], companion: Companion, file: GgufFile
) -> None:
    assert verdict_of(scan(file.encode(), companion=companion, model=BASE.encode())) == found


@pytest.mark.parametrize(
    "model",
    [b"", b"no model", replace(BASE, version=1).encode(), ADAPTER.encode()],
    ids=["empty", "no GGUF", "broken", "an adapter"],
)
def test_a_model_that_is_refused_itself_is_no_base(model: bytes) -> None:
    report = scan(ADAPTER.encode(), companion="base", model=model)
    assert verdict_of(report) == ("reject", "base_refused")


def test_without_its_base_a_file_is_accepted_with_a_remark() -> None:
    report = scan(ADAPTER.encode())
    assert report.verdict == "accept"
    assert [(f.code, f.severity) for f in report.findings] == [("base_unknown", "info")]
