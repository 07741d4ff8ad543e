"""Sizes of a model that contradict each other or no engine can stand."""

import pytest

from tests.support.gguf_file import F32, STRING, U32, GgufFile, scalar
from tests.support.scanned import worst_code

SOUND = GgufFile()
BROKEN: dict[str, tuple[str, str, bytes]] = {
    "one layer too many": ("n_layer", "block_count", scalar(U32, 513)),
    "head count does not divide": ("n_head", "attention.head_count", scalar(U32, 6)),
    "more key-value heads": ("n_head_kv", "attention.head_count_kv", scalar(U32, 8)),
    "key too wide": ("head_dim", "attention.key_length", scalar(U32, 1025)),
    "key width 0": ("head_dim", "attention.key_length", scalar(U32, 0)),
    "rotation wider than a head": ("rope_dim", "rope.dimension_count", scalar(U32, 10)),
    "odd rotation": ("rope_dim", "rope.dimension_count", scalar(U32, 7)),
    "half a rotation, where llama wants all": (
        "rope_dim", "rope.dimension_count", scalar(U32, 4),
    ),
    "rotation of another kind": ("rope_scaling", "rope.scaling.type", scalar(STRING, "su\x1b")),
    "base 0": ("float_range", "rope.freq_base", scalar(F32, 0)),
    "negative epsilon": (
        "float_range", "attention.layer_norm_rms_epsilon", scalar(F32, -1e-5),
    ),
    "epsilon as a number": (
        "kv_type_expected", "attention.layer_norm_rms_epsilon", scalar(U32, 1),
    ),
    "experts used but none there": ("n_expert", "expert_used_count", scalar(U32, 2)),
    "experts never used": ("n_expert", "expert_count", scalar(U32, 8)),
    "too many experts": ("n_expert", "expert_count", scalar(U32, 1025)),
    "a context no machine holds": ("kv_cache_bytes", "context_length", scalar(U32, 1 << 31)),
    "inner width 0": ("n_ff", "feed_forward_length", scalar(U32, 0)),
    "vocabulary of another size": ("vocab_size", "vocab_size", scalar(U32, 4)),
}  # fmt: skip


@pytest.mark.claim("ADM-07")
@pytest.mark.parametrize(("code", "key", "value"), BROKEN.values(), ids=BROKEN)
def test_a_size_is_refused_by_its_code(code: str, key: str, value: bytes) -> None:
    assert worst_code(SOUND.with_value(f"llama.{key}", value).encode()) == ("reject", code)


@pytest.mark.claim("ADM-07")
def test_one_token_that_needs_too_much_memory() -> None:
    file = SOUND
    for key, value in (("block_count", 512), ("attention.head_count", 16384),
                       ("attention.head_count_kv", 16384), ("attention.key_length", 1024),
                       ("attention.value_length", 1024)):  # fmt: skip
        file = file.with_value(f"llama.{key}", scalar(U32, value))
    assert worst_code(file.encode()) == ("reject", "kv_cache_bytes")


def test_experts_in_groups() -> None:
    file = SOUND.with_value("llama.expert_count", scalar(U32, 8))
    file = file.with_value("llama.expert_used_count", scalar(U32, 2))
    file = file.with_value("llama.expert_group_count", scalar(U32, 3))
    assert worst_code(file.encode()) == ("reject", "n_expert")


@pytest.mark.parametrize("value", [8, None])
def test_a_whole_rotation_is_accepted(value: int | None) -> None:
    given = None if value is None else scalar(U32, value)
    file = SOUND.with_value("llama.rope.dimension_count", given)
    assert worst_code(file.encode()) == ("accept", "")
