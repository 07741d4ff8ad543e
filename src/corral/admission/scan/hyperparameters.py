"""The sizes that a language model claims, each held to its type, its range and the others.

Trust: scan jail. Input: untrusted values of sound structure. The engine allocates by these numbers,
divides by some and aborts the process on others (research/artifacts.md, section 2b), so each is
refused here before an engine sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gguf.constants import MODEL_ARCH_NAMES

from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.values import Values

_KNOWN: Final = frozenset(MODEL_ARCH_NAMES.values()) - {"clip", "mmproj"}
_LAYERS: Final = 512
"""`LLAMA_MAX_LAYERS`; one more aborts the engine."""
_EXPERTS: Final = 1024
_HEAD: Final = 1024
_CONTEXT_TOKENS: Final = 1 << 26
_KV_BYTES_PER_TOKEN: Final = 64 << 20
_KV_ELEMENT_BYTES: Final = 2
_ROPE_SCALING: Final = frozenset({"none", "linear", "yarn", "longrope"})
_FULL_ROPE: Final = frozenset({"llama", "falcon"})
"""The engine demands that these rotate the whole head."""

_FLOATS: Final[tuple[tuple[str, float, float], ...]] = (
    ("attention.layer_norm_epsilon", 0.0, 1.0),
    ("attention.layer_norm_rms_epsilon", 0.0, 1.0),
    ("attention.group_norm_epsilon", 0.0, 1.0),
    ("attention.scale", 0.0, 1e6),
    ("attention.clamp_kqv", 0.0, 1e9),
    ("attention.max_alibi_bias", 0.0, 1e6),
    ("rope.freq_base", 1e-3, 1e15),
    ("rope.freq_base_swa", 1e-3, 1e15),
    ("rope.scaling.factor", 0.0, 1e6),
    ("rope.scaling.attn_factor", -1e6, 1e6),
    ("attn_logit_softcapping", 0.0, 1e6),
    ("final_logit_softcapping", 0.0, 1e6),
    ("router_logit_softcapping", 0.0, 1e6),
    ("logit_scale", -1e6, 1e6),
    ("residual_scale", -1e6, 1e6),
    ("embedding_scale", -1e6, 1e6),
    ("expert_weights_scale", -1e6, 1e6),
)
"""Key, least and greatest value that any arithmetic of the engine makes sense with."""


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Sizes of one model.

    Attributes:
        heads: query heads of each layer.
        heads_kv: key-value heads of each layer.
        key_width: elements of one key head.
        value_width: elements of one value head.
        feed_forward: inner width of each layer; empty where the file does not say.
        vocabulary: `ARCH.vocab_size`; 0 where the file does not say.
        predicting_layers: layers behind `layers` that predict more tokens (`nextn`).
    """

    architecture: str
    layers: int
    width: int
    heads: tuple[int, ...]
    heads_kv: tuple[int, ...]
    key_width: int
    value_width: int
    feed_forward: tuple[int, ...]
    experts: int
    context_tokens: int
    vocabulary: int
    predicting_layers: int

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of 16-bit keys and values of all layers for one token of context."""
        return sum(self.heads_kv) * (self.key_width + self.value_width) * _KV_ELEMENT_BYTES


def read_hyperparameters(values: Values) -> Hyperparameters:
    """Return the sizes of a language model.

    Raises:
        ScanRefusal: a needed value is missing, of another type, out of its range, or contradicts
            another one.
    """
    arch = values.text("general.architecture", "")
    if arch not in _KNOWN:
        raise ScanRefusal("architecture", "the architecture is not a known one", arch.encode())
    layers = values.integer(f"{arch}.block_count", "n_layer", 1, _LAYERS)
    width = values.integer(f"{arch}.embedding_length", "n_embd", 1, 1 << 20)
    heads = values.each(f"{arch}.attention.head_count", "n_head", layers, None)
    heads_kv = values.each(f"{arch}.attention.head_count_kv", "n_head_kv", layers, heads)
    if any(kv > q or (kv and q % kv) for q, kv in zip(heads, heads_kv, strict=True)):
        raise ScanRefusal("n_head_kv", "the heads are not a multiple of the key-value heads")
    key_width, value_width = _head_widths(values, arch, width, max(heads))
    _check_rope(values, arch, key_width)
    experts = _experts(values, arch)
    for name, low, high in _FLOATS:
        values.number(f"{arch}.{name}", "float_range", low, high)
    found = Hyperparameters(
        architecture=arch,
        layers=layers,
        width=width,
        heads=heads,
        heads_kv=heads_kv,
        key_width=key_width,
        value_width=value_width,
        feed_forward=values.each(f"{arch}.feed_forward_length", "n_ff", layers, (), 1 << 24),
        experts=experts,
        context_tokens=values.integer(
            f"{arch}.context_length", "kv_cache_bytes", 1, _CONTEXT_TOKENS
        ),
        vocabulary=values.integer(f"{arch}.vocab_size", "vocab_size", 1, 1 << 21, 0),
        predicting_layers=values.integer(
            f"{arch}.nextn_predict_layers", "n_layer", 0, layers - 1, 0
        ),
    )
    if found.kv_bytes_per_token > _KV_BYTES_PER_TOKEN:
        raise ScanRefusal("kv_cache_bytes", "one token of context needs more than 64 MiB")
    return found


def check_rotation(values: Values, size: Hyperparameters) -> None:
    """Refuse a partly rotated head where the engine wants all of it.

    Apart from `read_hyperparameters`, because a wrong width shows here first, and the tensors tell
    more about it.

    Raises:
        ScanRefusal: code `rope_dim`.
    """
    arch = size.architecture
    if arch in _FULL_ROPE:
        whole = size.key_width
        values.integer(f"{arch}.rope.dimension_count", "rope_dim", whole, whole, whole)


def _head_widths(values: Values, arch: str, width: int, heads: int) -> tuple[int, int]:
    names = (f"{arch}.attention.key_length", f"{arch}.attention.value_length")
    if heads and width % heads and not all(name in values for name in names):
        raise ScanRefusal("n_head", "the width is not a multiple of the heads")
    head = width // heads if heads else 0
    key, value = (values.integer(name, "head_dim", 1, _HEAD, head) for name in names)
    if max(key, value) > _HEAD:
        raise ScanRefusal("head_dim", "a head is wider than 1024")
    for name in ("key_length_swa", "value_length_swa", "key_length_mla", "value_length_mla"):
        values.integer(f"{arch}.attention.{name}", "head_dim", 1, _HEAD, 1)
    return key, value


def _check_rope(values: Values, arch: str, key_width: int) -> None:
    dims = values.integer(f"{arch}.rope.dimension_count", "rope_dim", 0, _HEAD, key_width)
    if key_width and (dims > key_width or dims % 2):
        raise ScanRefusal("rope_dim", "the rotated part does not fit into a head")
    scaling = values.text(f"{arch}.rope.scaling.type", "none")
    if scaling not in _ROPE_SCALING:
        raise ScanRefusal("rope_scaling", "the kind of rope scaling is unknown", scaling.encode())


def _experts(values: Values, arch: str) -> int:
    count = values.integer(f"{arch}.expert_count", "n_expert", 0, _EXPERTS, 0)
    used = values.integer(f"{arch}.expert_used_count", "n_expert", 0, _EXPERTS, 0)
    if used > count or (count and not used):
        raise ScanRefusal("n_expert", "the experts used are not a part of the experts")
    groups = values.integer(f"{arch}.expert_group_count", "n_expert", 0, _EXPERTS, 0)
    groups_used = values.integer(f"{arch}.expert_group_used_count", "n_expert", 0, _EXPERTS, 0)
    if groups_used > groups or (groups and (count % groups or not groups_used)):
        raise ScanRefusal("n_expert", "the groups of experts do not divide them")
    return count
