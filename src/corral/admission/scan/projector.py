"""Projectors (mmproj): the sizes by which an image or audio encoder is built.

Trust: scan jail. Input: untrusted values of sound structure. llama.cpp divides by some of them,
allocates by others, and has stack arrays of fixed size behind them (llama.cpp #27071, #27166).
"""

from __future__ import annotations

from typing import Final

from corral.admission.report import ProjectorFacts
from corral.admission.scan.base import Base
from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.metadata import Value
from corral.admission.scan.tensors import Tensor
from corral.admission.scan.values import FLOATS, INTEGERS, Values

_CODE: Final = "clip_hparams"
_SIDE_PIXELS: Final = 8192
_PATCHES: Final = 1024
_LAYERS: Final = 512
_TILES: Final = 1024


_TYPE_KEYS: Final = (
    "clip.projector_type", "clip.vision.projector_type", "clip.audio.projector_type"
)  # fmt: skip
_TYPES: Final = frozenset(
    """
    adapter cogvlm cohere2v d1omni_a d1omni_v deepseek4v deepseekocr deepseekocr2 dots3note_a
    dots3note_v dots_ocr exaone4_5 gemma3 gemma3na gemma3nv gemma4a gemma4ua gemma4uv gemma4v glm4v
    glm5v glma granite4_vision granite_speech hunyuanvl idefics3 internvl janus_pro kimik25 kimivl
    ldp ldpv2 lfm2 lfm2a lightonocr ling3vl llama4 meralion mimo_audio mimovl minicpmv4_6 minimax_m3
    mlp muse-glimmer musicflamingo nemotron_v2_vl paddleocr parakeet phi4 pixtral qwen2.5o
    qwen2.5vl_merger qwen2a qwen2vl_merger qwen3a qwen3vl_merger resampler step3vl ultravox voxtral
    yasa2 youtuvl
    """.split()  # noqa: SIM905 - sixty quoted names are harder to read
)
"""Kinds of projector that llama.cpp builds; it refuses others itself."""
_BOUNDS: Final = (
    ("spatial_merge_size", 1, 64), ("projector.scale_factor", 1, 64),
    ("preproc_image_size", 1, _SIDE_PIXELS), ("image_crop_resolution", 1, _SIDE_PIXELS),
    ("image_min_pixels", 0, _SIDE_PIXELS**2), ("image_max_pixels", 1, _SIDE_PIXELS**2),
    ("preproc_min_tiles", 0, _TILES), ("preproc_max_tiles", 1, _TILES),
    ("window_size", 1, _SIDE_PIXELS), ("n_wa_pattern", 0, _LAYERS),
)  # fmt: skip
"""Sizes of images that are divided by or allocated, where a file has them."""
_BOUNDS_ANY: Final = (("minicpmv_version", 0, 1000), ("minicpmv_query_num", 0, 1 << 14))
_FLAGS: Final = ("use_gelu", "use_silu", "has_llava_projector")
"""The engine aborts where these are of another type."""
_CUT_SIDES: Final = 16
"""So many sides of an image is the longest that it is cut from, and which is made as a whole."""
_PATCHES_ANY: Final = 16384
"""Most patches of a kind whose images have any size: 4096 tokens of 2 by 2 (clip.cpp)."""
_ANY_SIZE: Final = frozenset(
    """
    d1omni_v dots3note_v dots_ocr exaone4_5 gemma4uv gemma4v glm4v glm5v hunyuanvl kimik25 kimivl
    lfm2 lightonocr ling3vl mimovl minicpmv4_6 minimax_m3 muse-glimmer paddleocr phi4 pixtral
    qwen2.5o qwen2.5vl_merger qwen2vl_merger qwen3vl_merger youtuvl
    """.split()  # noqa: SIM905 - as above
)
_FLOAT_BYTES: Final = 4
_OUTPUTS: Final = ("mm.", "resampler.", "adapter.", "v.mm", "a.mm")
"""What the names of those tensors begin with whose output goes into the model."""


def check_projector(
    values: Values, tensors: tuple[Tensor, ...] = (), base: Base | None = None
) -> ProjectorFacts:
    """Hold a projector's sizes against their ranges and each other, and against its base.

    Raises:
        ScanRefusal: code `clip_hparams`, or `kv_type_expected`.
    """
    vision = values.flag("clip.has_vision_encoder", default=False)
    audio = values.flag("clip.has_audio_encoder", default=False)
    if not vision and not audio:
        raise ScanRefusal(_CODE, "the projector is for neither images nor audio")
    kinds = [values.text(key, "") for key in _TYPE_KEYS if key in values]
    if not kinds or not _TYPES.issuperset(kinds):
        raise ScanRefusal(_CODE, "the projector is of no known kind", "".join(kinds).encode())
    for flag in _FLAGS:
        values.flag(f"clip.{flag}", default=False)
    for key, least, most in _BOUNDS_ANY:
        values.integer(f"clip.{key}", _CODE, least, most, least)
    memory_bytes = _check_vision(values, kinds) if vision else 0
    if audio:
        _check_encoder(values, "clip.audio")
        values.integer("clip.audio.num_mel_bins", _CODE, 1, 1024)
    if base is not None:
        _check_output(values, tensors, base.sizes.width)
    return ProjectorFacts(images=vision, sounds=audio, memory_bytes=memory_bytes)


def _check_output(values: Values, tensors: tuple[Tensor, ...], width: int) -> None:
    """What a projector gives must be as wide as what the model takes."""
    said = {
        values.integer(f"clip.{sense}.projection_dim", _CODE, 0, 1 << 20, 0)
        for sense in ("vision", "audio")
    }
    wide = any(t.name.startswith(_OUTPUTS) and t.shape[-1] == width for t in tensors)
    if width not in said and not wide:
        raise ScanRefusal(_CODE, "the projector's output is not as wide as the model")


def _check_vision(values: Values, kinds: list[str]) -> int:
    """Return what the encoder of one image takes: the widest moment of a layer, for all patches."""
    layers = _check_encoder(values, "clip.vision")
    image = values.integer("clip.vision.image_size", _CODE, 1, _SIDE_PIXELS)
    patch = values.integer("clip.vision.patch_size", _CODE, 1, image)
    if image // patch > _PATCHES:
        raise ScanRefusal(_CODE, "an image has more than 1024 patches on a side")
    for key, least, most in _BOUNDS:
        values.integer(f"clip.vision.{key}", _CODE, least, most, least)
    if (
        values.integer("clip.vision.preproc_image_size", _CODE, 0, _SIDE_PIXELS, 0)
        > _CUT_SIDES * image
    ):
        raise ScanRefusal(_CODE, "an image is made of too many pieces")
    _check_pinpoints(values.array("clip.vision.image_grid_pinpoints"))
    for key in ("spatial_merge_size", "projector.scale_factor"):
        if values.integer(f"clip.vision.{key}", _CODE, 1, 64, 1) > image // patch:
            raise ScanRefusal(_CODE, "more patches are made one than an image has on a side")
    for name in ("image_mean", "image_std"):
        found = values.array(f"clip.vision.{name}")
        if found is None or found.kind not in FLOATS or len(found.items) != 3:
            raise ScanRefusal(_CODE, "the colours of an image have not three values")
        if name == "image_std" and not all(float(item) > 0 for item in found.items):
            raise ScanRefusal(_CODE, "the colours of an image are divided by nothing")
    for name in ("feature_layer", "wa_layer_indexes"):
        _check_layers(values.array(f"clip.vision.{name}"), layers)
    width = values.integer("clip.vision.embedding_length", _CODE, 1, 1 << 16)
    inner = max(width, values.integer("clip.vision.feed_forward_length", _CODE, 1, 1 << 20, 1))
    pixels = max(
        image**2, values.integer("clip.vision.image_max_pixels", _CODE, 0, _SIDE_PIXELS**2, 0)
    )
    patches = pixels // patch**2
    if not _ANY_SIZE.isdisjoint(kinds):
        patches = max(patches, _PATCHES_ANY)
    return patches * (2 * inner + 10 * width) * _FLOAT_BYTES


def _check_encoder(values: Values, prefix: str) -> int:
    width = values.integer(f"{prefix}.embedding_length", _CODE, 1, 1 << 16)
    values.integer(f"{prefix}.feed_forward_length", _CODE, 1, 1 << 20, 1)
    values.integer(f"{prefix}.projection_dim", _CODE, 0, 1 << 20, 0)
    heads = values.integer(f"{prefix}.attention.head_count", _CODE, 1, 1024)
    if width % heads:
        raise ScanRefusal(_CODE, "the width is not a multiple of the heads")
    values.number(f"{prefix}.attention.layer_norm_epsilon", _CODE, 0.0, 1.0)
    return values.integer(f"{prefix}.block_count", _CODE, 1, _LAYERS)


def _check_pinpoints(found: Value | None) -> None:
    """Pairs of width and height that an image may be cut to."""
    if found is None:
        return
    if found.kind not in INTEGERS:
        raise ScanRefusal("kv_type_expected", "a value is not of its type")
    sides = [int(item) for item in found.items]
    if len(sides) % 2 or len(sides) > 2 * _TILES or not all(1 <= s <= _SIDE_PIXELS for s in sides):
        raise ScanRefusal(_CODE, "the sizes that an image is cut to are no pairs of sides")


def _check_layers(found: Value | None, layers: int) -> None:
    if found is None:
        return
    if found.kind not in INTEGERS:
        raise ScanRefusal("kv_type_expected", "a value is not of its type")
    if not all(-1 <= int(item) <= layers for item in found.items):
        raise ScanRefusal(_CODE, "the projector takes a layer that is not there")
