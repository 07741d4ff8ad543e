"""Memory shapes of architectures that keep less, or more, than keys and values of each layer."""

from collections.abc import Mapping
from struct import pack, unpack_from

import pytest

from corral.admission.estimate import BYTES_MAX, MemoryShape
from corral.admission.scan.hyperparameters import Hyperparameters
from corral.admission.scan.memory import memory_shape
from corral.admission.scan.metadata import Value
from corral.admission.scan.tensors import Tensor
from corral.admission.scan.values import Values

U32, BOOL = 4, 7


def shape(
    arch: str,
    keys: Mapping[str, int | list[int]] | None = None,
    *,
    layers: int = 4,
    heads_kv: tuple[int, ...] = (),
    tensors: tuple[Tensor, ...] = (),
    width: int = 64,
    heads: int = 4,
    feed_forward: int = 256,
) -> MemoryShape:
    values = {
        f"{arch}.{key}": Value(BOOL if "pattern" in key and isinstance(value, list) else U32,
                               value if isinstance(value, list) else [value],
                               isinstance(value, list))
        for key, value in (keys or {}).items()
    }  # fmt: skip
    sizes = Hyperparameters(
        architecture=arch, layers=layers, width=width, heads=(heads,) * layers,
        heads_kv=heads_kv or (2,) * layers, key_width=16, value_width=16,
        feed_forward=(feed_forward,) * layers, experts=0, context_tokens=4096, vocabulary=0,
        predicting_layers=0,
    )  # fmt: skip
    return memory_shape(Values(values), sizes, tensors, vocabulary=100)


LAYER = 2 * (16 + 16) * 2
"""Two heads, keys and values, 16 bit."""


def test_grouped_queries_keep_their_key_value_heads_only() -> None:
    assert shape("llama").kv_bytes_per_token == 4 * LAYER
    assert shape("llama", heads_kv=(1, 1, 4, 2)).kv_bytes_per_token == 4 * LAYER
    assert shape("llama", heads=8).width == 8 * 16


@pytest.mark.parametrize(
    ("arch", "keys", "windowed"),
    [
        ("gemma3", {}, 5),
        ("gemma3", {"attention.sliding_window_pattern": 3}, 4),
        ("gemma2", {}, 3),
        ("smallthinker", {}, 4),
        ("gemma4", {"attention.sliding_window_pattern": [1, 1, 0, 1, 1, 0]}, 4),
        ("gemma4", {"attention.sliding_window_pattern": [1, 1]}, 0),
        ("gemma4", {}, 0),
        ("phi3", {}, 0),  # the engine has windows of this one switched off
        ("llama", {}, 0),
    ],
)
def test_windows_count_where_the_engine_keeps_them(
    arch: str, keys: dict[str, int | list[int]], windowed: int
) -> None:
    found = shape(arch, {"attention.sliding_window": 512, **keys}, layers=6)
    assert found.window_kv_bytes_per_token == windowed * LAYER
    assert found.kv_bytes_per_token == (6 - windowed) * LAYER
    assert found.window_tokens == (512 if windowed else 0)
    whole = shape(arch, {"attention.sliding_window": 0, **keys}, layers=6)
    assert (whole.window_kv_bytes_per_token, whole.kv_bytes_per_token) == (0, 6 * LAYER)


def test_windowed_layers_may_have_other_heads() -> None:
    keys = {"attention.sliding_window": 64, "attention.key_length_swa": 32,
            "attention.value_length_swa": 8}  # fmt: skip
    assert shape("gemma2", keys).window_kv_bytes_per_token == 2 * 2 * (32 + 8) * 2


def test_latent_attention_keeps_no_values_of_its_own() -> None:
    keys = {"attention.key_length_mla": 24, "attention.value_length_mla": 16}
    assert shape("deepseek2", keys, heads_kv=(1,) * 4).kv_bytes_per_token == 4 * 16 * 2
    half = {"attention.key_length_mla": 24}
    assert shape("deepseek2", half, heads_kv=(1,) * 4).kv_bytes_per_token == 4 * 32 * 2


SSM = {"ssm.conv_kernel": 4, "ssm.inner_size": 128, "ssm.state_size": 16, "ssm.group_count": 1}
STATE = (3 * (128 + 2 * 16) + 16 * 128) * 4


def test_a_recurrent_model_has_a_state_and_no_keys() -> None:
    found = shape("mamba2", SSM)
    assert (found.kv_bytes_per_token, found.state_bytes) == (0, 4 * STATE)
    assert found.inner_width == 3 * 128
    rwkv = shape("rwkv7", {"wkv.head_size": 8})
    assert (rwkv.kv_bytes_per_token, rwkv.state_bytes) == (0, 4 * (2 * 64 + 64 * 8) * 4)


def test_a_hybrid_has_each_where_it_has_it() -> None:
    jamba = shape("jamba", SSM, heads_kv=(0, 0, 2, 0))
    assert (jamba.kv_bytes_per_token, jamba.state_bytes) == (LAYER, 3 * STATE)
    next_ = shape("qwen3next", SSM | {"full_attention_interval": 4}, layers=8)
    assert (next_.kv_bytes_per_token, next_.state_bytes) == (2 * LAYER, 6 * STATE)
    falcon = shape("falcon-h1", SSM)
    assert (falcon.kv_bytes_per_token, falcon.state_bytes) == (4 * LAYER, 4 * STATE)
    assert shape("lfm2", {"shortconv.l_cache": 3}, heads_kv=(0, 2, 0, 2)).state_bytes == (
        2 * 64 * 3 * 4
    )
    kda = shape("kimi-linear", {"kda.head_dim": 16, "ssm.conv_kernel": 4}, heads_kv=(0, 0, 0, 1))
    assert kda.state_bytes == 3 * (3 * 4 * 4 * 16 + 16 * 16 * 4) * 4


def test_experts_widen_the_graph_by_those_that_are_used() -> None:
    keys = {"expert_used_count": 8, "expert_feed_forward_length": 96}
    assert shape("qwen3moe", keys).inner_width == 8 * (96 + 64)
    assert shape("qwen3moe", keys | {"expert_shared_feed_forward_length": 32}).inner_width == (
        8 * (96 + 64) + 32
    )
    assert shape("llama").inner_width == 256


def weight(name: str, kind: str, *dimensions: int) -> Tensor:
    return Tensor(name, dimensions, kind, 0, 1000, 0)


def test_what_the_processor_wants_in_another_order_is_held_twice() -> None:
    tensors = (
        weight("blk.0.ffn_up.weight", "Q4_K", 256, 64),
        weight("blk.0.ffn_down.weight", "Q4_0", 256, 63),  # no multiple of eight rows
        weight("blk.0.attn_q.weight", "Q4_1", 256, 64),  # no such kernel
        weight("token_embd.weight", "Q4_0", 256, 64),
        weight("blk.0.ffn_up_exps.weight", "MXFP4", 256, 64, 4),
    )
    assert shape("llama", tensors=tensors).repacked_bytes == 3000
    untied = (*tensors, weight("output.weight", "Q6_K", 256, 64))
    found = shape("llama", tensors=untied)
    assert (found.repacked_bytes, found.weights_bytes) == (2000, 6000)


@pytest.mark.claim("EST-03")
@pytest.mark.parametrize("number", [0, 1, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1])
def test_hostile_sizes_are_clamped_and_never_make_less_of_a_model(number: int) -> None:
    hostile = dict.fromkeys(
        (*SSM, "wkv.head_size", "shortconv.l_cache", "kda.head_dim", "full_attention_interval",
         "expert_used_count", "expert_feed_forward_length", "attention.sliding_window"), number,
    )  # fmt: skip
    for arch in ("gemma3", "mamba2", "jamba", "rwkv7", "kimi-linear", "qwen3next"):
        found = shape(arch, hostile)
        assert max(found.state_bytes, found.kv_bytes_per_token) <= BYTES_MAX
        assert found.inner_width <= 1 << 40
        assert found.inner_width >= 256
    every = shape("gemma3", hostile | {"attention.sliding_window_pattern": number}, layers=3)
    both = every.kv_bytes_per_token + every.window_kv_bytes_per_token
    assert both == 3 * LAYER or number > 1  # an interval makes layers recurrent, with their state
    negative = unpack_from("<i", pack("<I", number & 0xFFFF_FFFF))[0]
    assert shape("mamba2", {"ssm.inner_size": negative}).state_bytes >= 0
