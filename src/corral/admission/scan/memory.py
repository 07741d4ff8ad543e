"""What of a model's structure decides how much memory a worker of it takes.

Trust: scan jail. Input: untrusted values of sound structure. Nothing is refused here: where the
file says something strange, the larger figure counts, and whoever compares the estimate with a
ceiling refuses. The rules are those of llama.cpp's loader (src/models/*.cpp, llama-hparams.cpp).
"""

from __future__ import annotations

from typing import Final

from corral.admission.estimate import BYTES_MAX, MemoryShape
from corral.admission.scan.hyperparameters import Hyperparameters
from corral.admission.scan.tensors import Tensor
from corral.admission.scan.values import INTEGERS, Values

_ELEMENT_BYTES: Final = 2
"""Keys and values are 16 bit."""
_STATE_BYTES: Final = 4
"""States are 32 bit."""
_COUNT_MAX: Final = 1 << 40
_BOOL: Final = 7

_PATTERNS: Final[dict[str, tuple[int, bool]]] = {
    "afmoe": (4, False),
    "cohere2": (4, False),
    "gemma2": (2, False),
    "gemma3": (6, False),
    "gemma3n": (5, False),
    "gpt-oss": (2, False),
    "olmo2": (4, False),
    "plamo3": (8, False),
    "smallthinker": (4, True),
}
"""Architecture -> every how manieth layer keeps the whole context, and whether that is the first of
each group or the last (`load_swa_pattern`). Others with windows name their layers in a list; one
that does not, or that is not here, counts with its whole context."""
_LISTED: Final = frozenset({"gemma4", "granite-swa", "mimo2", "step35"}) | set(_PATTERNS)
_RECURRENT: Final = frozenset({"arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"})
"""No layer has keys and values (`llm_arch_is_recurrent`)."""
_REPACKED: Final = frozenset({"IQ4_NL", "MXFP4", "Q4_0", "Q4_K"})
"""Types whose kernels for AVX2 want eight rows at once (`ggml_repack_get_optimal_repack_type`)."""
_ROWS: Final = 8


def memory_shape(
    values: Values,
    sizes: Hyperparameters,
    tensors: tuple[Tensor, ...],
    *,
    vocabulary: int,
) -> MemoryShape:
    """Return the shape of a language model.

    Args:
        values: its key-value pairs.
        sizes: what they claim.
        tensors: of all its files.
        vocabulary: tokens.
    """
    windowed = _windowed_layers(values, sizes)
    attending = _attending_layers(values, sizes)
    full, window = 0, 0
    for layer in range(sizes.layers):
        if layer not in attending:
            continue
        token_bytes = _kv_bytes(values, sizes, layer, windowed=layer in windowed)
        if layer in windowed:
            window += token_bytes
        else:
            full += token_bytes
    merges = values.array("tokenizer.ggml.merges")
    arch = sizes.architecture
    return MemoryShape(
        weights_bytes=_clamped(sum(t.size_bytes for t in tensors)),
        repacked_bytes=_clamped(_repacked_bytes(tensors)),
        kv_bytes_per_token=_clamped(full),
        window_kv_bytes_per_token=_clamped(window),
        window_tokens=_number(values, f"{arch}.attention.sliding_window") if window else 0,
        state_bytes=_clamped(_state_bytes(values, sizes, attending)),
        width=min(max(sizes.width, max(sizes.heads) * sizes.key_width), _COUNT_MAX),
        inner_width=min(_inner_width(values, sizes), _COUNT_MAX),
        vocabulary=vocabulary,
        merges=len(merges.items) if merges is not None else 0,
    )


def _windowed_layers(values: Values, sizes: Hyperparameters) -> frozenset[int]:
    arch, key = sizes.architecture, f"{sizes.architecture}.attention.sliding_window_pattern"
    if arch not in _LISTED or not _number(values, f"{arch}.attention.sliding_window"):
        return frozenset()
    if key in values and values.value(key).is_array:
        listed = values.value(key)
        if listed.kind not in INTEGERS | {_BOOL} or len(listed.items) < sizes.layers:
            return frozenset()
        return frozenset(n for n in range(sizes.layers) if listed.items[n])
    if arch not in _PATTERNS:
        return frozenset()
    every, first = _PATTERNS[arch]
    every = _number(values, key) or every
    whole = 0 if first else every - 1
    return frozenset(n for n in range(sizes.layers) if n % every != whole)


def _attending_layers(values: Values, sizes: Hyperparameters) -> frozenset[int]:
    if sizes.architecture in _RECURRENT:
        return frozenset()
    every = _number(values, f"{sizes.architecture}.full_attention_interval")
    return frozenset(
        n for n, heads in enumerate(sizes.heads_kv) if heads and not (every and (n + 1) % every)
    )


def _kv_bytes(values: Values, sizes: Hyperparameters, layer: int, *, windowed: bool) -> int:
    prefix = f"{sizes.architecture}.attention"
    key, value = sizes.key_width, sizes.value_width
    if windowed:
        key = _number(values, f"{prefix}.key_length_swa") or key
        value = _number(values, f"{prefix}.value_length_swa") or value
    names = ("key_length_mla", "value_length_mla")
    if all(_number(values, f"{prefix}.{name}") for name in names):
        value = 0  # latent attention: the values are a part of the keys
    return sizes.heads_kv[layer] * (key + value) * _ELEMENT_BYTES


def _state_bytes(values: Values, sizes: Hyperparameters, attending: frozenset[int]) -> int:
    """Return the bytes of one sequence; see `n_embd_r` and `n_embd_s` in llama-hparams.cpp."""
    arch = sizes.architecture
    heads = max(sizes.heads)
    wkv = _number(values, f"{arch}.wkv.head_size")
    short = _number(values, f"{arch}.shortconv.l_cache")
    delta = _number(values, f"{arch}.kda.head_dim")
    conv, inner, state, groups = (
        _number(values, f"{arch}.ssm.{name}")
        for name in ("conv_kernel", "inner_size", "state_size", "group_count")
    )
    if wkv:
        floats = (_number(values, f"{arch}.token_shift_count") or 2) * sizes.width
        floats += sizes.width * wkv
    elif short:
        floats = sizes.width * short
    elif delta:
        floats = 3 * max(conv, 4) * heads * delta + delta * delta * heads
    else:
        floats = max(conv - 1, 0) * (inner + 2 * groups * state) + state * inner
    # A hybrid whose layers all attend (Falcon-H1) has a state in each as well.
    layers = sizes.layers - len(attending) or sizes.layers
    return floats * layers * _STATE_BYTES


def _inner_width(values: Values, sizes: Hyperparameters) -> int:
    arch = sizes.architecture
    dense = max(sizes.feed_forward, default=0)
    used = _number(values, f"{arch}.expert_used_count")
    expert = _number(values, f"{arch}.expert_feed_forward_length") or dense
    shared = _number(values, f"{arch}.expert_shared_feed_forward_length")
    recurrent = 3 * _number(values, f"{arch}.ssm.inner_size")
    return max(dense, used * (expert + sizes.width) + shared if used else 0, recurrent)


def _repacked_bytes(tensors: tuple[Tensor, ...]) -> int:
    tied = all(tensor.name != "output.weight" for tensor in tensors)
    return sum(
        tensor.size_bytes
        for tensor in tensors
        if tensor.kind in _REPACKED
        and len(tensor.shape) > 1
        and tensor.shape[1] % _ROWS == 0
        and (tied or tensor.name != "token_embd.weight")
    )


def _number(values: Values, key: str) -> int:
    """Return a number that is there, or the greatest of a list; 0 for anything else."""
    if key not in values or values.value(key).kind not in INTEGERS:
        return 0
    return max(0, min(max((int(item) for item in values.value(key).items), default=0), _COUNT_MAX))


def _clamped(value: int) -> int:
    return min(value, BYTES_MAX)
