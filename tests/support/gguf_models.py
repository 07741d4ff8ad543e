"""Generated models with hostile sizes, vocabularies and additions; see `gguf_structures`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from math import prod

from tests.support.additions import ADAPTER, LORA, PROJECTOR, VECTOR
from tests.support.gguf_cases import F64, I8, I16, I64, SOUND, U64, Case
from tests.support.gguf_file import (
    ARRAY,
    BOOL,
    F32,
    I32,
    STRING,
    TOKENS,
    U8,
    U16,
    U32,
    WIDTH,
    GgufFile,
    array,
    of_shape,
    scalar,
)  # fmt: skip

_WIDTHS = {I8: 1, I16: 2, I32: 4, U8: 1, U16: 2, U32: 4, U64: 8, I64: 8, F64: 8}


def sizes() -> Iterator[Case]:
    def one(name: str, about: str, code: str, key: str, raw: bytes | None) -> Case:
        key = key if key.startswith("general.") else f"llama.{key}"
        return Case(f"E {name}", about, code, SOUND.with_value(key, raw).encode(), SOUND.encode())

    u32 = lambda number: scalar(U32, number & 0xFFFF_FFFF)  # noqa: E731
    for key, code, values in (
        ("block_count", "n_layer", (0, 513, 1 << 31, -1)),
        ("embedding_length", "n_embd", (0, 1 << 21, -1)),
        ("attention.head_count", "n_head", (0, 1 << 15, -1)),
        ("attention.head_count_kv", "n_head_kv", (0, 3, 8, -1)),
        ("attention.key_length", "head_dim", (0, 1025, -1)),
        ("attention.value_length", "head_dim", (0, 1025, -1)),
        ("rope.dimension_count", "rope_dim", (7, 10, 1025, -1)),
        ("expert_count", "n_expert", (1025, -1, 4)),
        ("expert_used_count", "n_expert", (1, 1025, -1)),
        ("feed_forward_length", "n_ff", (0, -1)),
        ("context_length", "kv_cache_bytes", (0, 1 << 31, -1)),
        ("vocab_size", "vocab_size", (0, 4, -1)),
        ("nextn_predict_layers", "n_layer", (2, 512, -1)),
    ):
        for value in values:
            yield one(f"{key} {value}", "abort, division or allocation", code, key, u32(value))
    for key in ("block_count", "embedding_length", "attention.head_count", "context_length"):
        for raw in (scalar(STRING, "2"), scalar(F32, 2.0), scalar(BOOL, 1)):
            yield one(f"{key} {raw[:4].hex()}", "other types", "kv_type_expected", key, raw)
    for key in ("block_count", "embedding_length", "context_length"):
        yield one(f"{key} absent", "", "not_a_model", key, None)
    for key, value in (
        ("attention.layer_norm_rms_epsilon", -1.0), ("attention.layer_norm_rms_epsilon", 2.0),
        ("rope.freq_base", 0.0), ("rope.freq_base", -1.0), ("rope.scaling.factor", -1.0),
        ("logit_scale", 1e9),
    ):  # fmt: skip
        yield one(f"{key} {value}", "abort at the first decode", "float_range", key,
                  scalar(F32, value))  # fmt: skip
    yield one("scaling of its own", "abort", "rope_scaling", "rope.scaling.type",
              scalar(STRING, "evil"))  # fmt: skip
    for arch in ("", "lama", "LLAMA", "clip2", "../llama"):
        yield one(f"architecture {arch!r}", "", "architecture", "general.architecture",
                  scalar(STRING, arch))  # fmt: skip
    for count in (1, 3, 4):
        yield one(f"{count} heads for 2 layers", "", "hparam_array", "attention.head_count_kv",
                  array(U32, [2] * count))  # fmt: skip
    yield one("keys without heads", "", "tensor_unexpected", "attention.head_count_kv",
              array(U32, [2, 0]))  # fmt: skip


def shapes() -> Iterator[Case]:
    for name, change in (
        ("a layer too many", (*SOUND.tensors, of_shape("blk.2.attn_norm.weight", WIDTH))),
        ("a tensor of nobody", (*SOUND.tensors, of_shape("evil.weight", WIDTH))),
        ("a name with zeros before", (*SOUND.tensors, of_shape("blk.01.attn_q.bias", WIDTH))),
    ):
        hostile = replace(SOUND, tensors=change).encode()
        yield Case(f"E {name}", "number of tensors", "tensor_unexpected", hostile, SOUND.encode())
    for tensor in SOUND.tensors:
        if str(tensor.name).endswith("norm.weight") and tensor.name != "output_norm.weight":
            continue
        rest = tuple(t for t in SOUND.tensors if t is not tensor)
        missing = replace(SOUND, tensors=rest).encode()
        name = f"E without {tensor.name!s}"
        if "ffn_gate" not in str(tensor.name) and "ffn_up" not in str(tensor.name):
            yield Case(name, "igfray PoC", "tensor_missing", missing, SOUND.encode())
        wrong = of_shape(str(tensor.name), *tensor.shape[:-1], tensor.shape[-1] + 32)
        hostile = replace(SOUND, tensors=tuple(wrong if t is tensor else t for t in SOUND.tensors))
        code = "vocab_tensor_shape" if "embd" in str(tensor.name) else "tensor_shape"
        if prod(tensor.shape) != WIDTH:
            yield Case(f"E {tensor.name!s} too long", "", code, hostile.encode(), SOUND.encode())


def vocabulary() -> Iterator[Case]:
    def one(
        name: str, about: str, code: str, key: str, raw: bytes | None, verdict: str = "reject"
    ) -> Case:
        hostile = SOUND.with_value(f"tokenizer.ggml.{key}", raw).encode()
        return Case(f"F {name}", about, code, hostile, SOUND.encode(), verdict)

    for kind, size in _WIDTHS.items():
        raw = struct.pack("<IIQ", ARRAY, kind, 3) + bytes(3 * size)
        about = "#26690: lists read without a look at their type"
        yield one(f"scores of {kind}", about, "tokenizer_array_type", "scores", raw)
        if kind != I32:
            yield one(f"types of {kind}", about, "tokenizer_array_type", "token_type", raw)
        yield one(f"merges of {kind}", about, "tokenizer_array_type", "merges", raw)
        yield one(f"tokens of {kind}", about, "tokenizer_array_type", "tokens", raw)
    for count in (0, 1, 2, 4):
        about = "read past the end"
        code = "tokenizer_array_length"
        yield one(f"{count} scores", about, code, "scores", array(F32, [0.0] * count))
        yield one(f"{count} types", about, code, "token_type", array(I32, [1] * count))
    for value in (-1, 7, 100, -(1 << 31)):
        raw = array(I32, [3, value, 3])
        yield one(f"type {value}", "", "tokenizer_array_type", "token_type", raw)
    for word in ("<0x-1>", "<0x100>", "<0xGG>", "<0x0>", "0x00", "", "<0xff>", "<0x00>\x01"):
        hostile = SOUND.with_values({
            "tokenizer.ggml.tokens": array(STRING, ["<s>", word, "<|end|>"]),
            "tokenizer.ggml.token_type": array(I32, [3, 6, 3]),
        })  # fmt: skip
        sound = hostile.with_value(
            "tokenizer.ggml.tokens", array(STRING, ["<s>", "<0x0A>", "<|end|>"])
        )
        about = "llama.cpp#25969, #27226: heap write"
        yield Case(f"F byte {word!r}", about, "token_byte_syntax", hostile.encode(), sound.encode())
    for name in ("bos", "eos", "unknown", "padding", "eot", "fim_pre", "mask", "seperator"):
        for value in (3, 4, 1 << 31, 0xFFFF_FFFF):
            raw = scalar(U32, value)
            yield one(f"{name} {value:#x}", "read out of bounds", "token_id",
                      f"{name}_token_id", raw)  # fmt: skip
        yield one(f"{name} text", "", "kv_type_expected", f"{name}_token_id", scalar(STRING, "1"))
    yield one("twice", "abort", "token_duplicate", "tokens", array(STRING, ["<s>", "a", "<s>"]))
    yield one("NUL", "readers differ", "string_nul", "tokens", array(STRING, ["<s>", b"a\0", "b"]))
    for length in (1025, 1 << 16):
        about = "CVE-2025-49847: length cut to 32 bits"
        raw = array(STRING, ["<s>", "a" * length, "b"])
        yield one(f"a token of {length}", about, "token_length", "tokens", raw)
    for merge in ("", "ab", " ab", "ab ", " "):
        raw = array(STRING, ["a b", merge])
        yield one(f"merge {merge!r}", "maps to nothing", "merges", "merges", raw)
    for size, rest in ((0xFFFF_FFFC, 16), (5, 16), (20, 16), (8, 4)):
        raw = struct.pack("<IIQI", ARRAY, U8, 4 + rest, size) + bytes(rest)
        yield one(f"map of {size:#x}", "read out of bounds", "charsmap", "precompiled_charsmap",
                  raw)  # fmt: skip
    for model in ("", "evil", "none", "test", "LLAMA"):
        raw = scalar(STRING, model)
        yield one(f"kind {model!r}", "", "tokenizer_model", "model", raw)
    yield one("none but a size", "#26690: 170 GiB", "vocab_size", "model",
              scalar(STRING, "no_vocab"))  # fmt: skip
    yield one("no types", "prompt filter fails open", "token_types", "token_type", None)
    yield one("an end that is a word", "", "token_id", "eos_token_id", scalar(U32, 1), "flag")


def more_vocabulary() -> Iterator[Case]:
    def one(name: str, code: str, key: str, raw: bytes, verdict: str = "reject") -> Case:
        hostile = SOUND.with_value(f"tokenizer.ggml.{key}", raw).encode()
        return Case(f"F {name}", "", code, hostile, SOUND.encode(), verdict)

    for key in ("eos_token_ids", "eog_token_ids"):
        for value in (3, 1 << 30):
            yield one(f"{key} {value}", "token_id", key, array(U32, [2, value]))
    for key in ("add_space_prefix", "remove_extra_whitespaces"):
        yield one(f"{key} a text", "kv_type_expected", key, scalar(STRING, "x"))
    for kinds in ([3, 1, 0], [0, 0, 0]):
        raw = array(I32, kinds)
        yield one(f"types {kinds}", "control_token_type", "token_type", raw, "flag")


def additions() -> Iterator[Case]:
    def one(name: str, about: str, code: str, hostile: GgufFile, sound: GgufFile) -> Case:
        return Case(f"H {name}", about, code, hostile.encode(), sound.encode())

    for alpha in (float("nan"), float("inf")):
        bad = LORA.with_value("adapter.lora.alpha", scalar(F32, alpha))
        yield one(f"alpha {alpha}", "", "float_nonfinite", bad, LORA)
    for value in (1e30, -1e30, 257.0, -1e6):
        bad = LORA.with_value("adapter.lora.alpha", scalar(F32, value))
        yield one(f"alpha {value}", "", "lora_scale", bad, LORA)
    for raw in (scalar(U32, 8), struct.pack("<Id", F64, 8.0), scalar(STRING, "8")):
        bad = LORA.with_value("adapter.lora.alpha", raw)
        yield one(f"alpha {raw[:4].hex()}", "abort", "kv_type_expected", bad, LORA)
    for key in ("general.type", "adapter.type"):
        for raw in (scalar(U32, 1), array(STRING, ["adapter"])):
            bad = LORA.with_value(key, raw)
            yield one(f"{key} {raw[:4].hex()}", "abort", "kv_type_expected", bad, LORA)
    for rank in (1025, 5):
        pair = (of_shape("blk.0.attn_q.weight.lora_a", 64, rank), LORA.tensors[1])
        yield one(f"rank {rank}", "", "lora_shape", replace(LORA, tensors=pair), LORA)
    wide = (
        of_shape("blk.0.attn_q.weight.lora_a", 64, 1025),
        of_shape("blk.0.attn_q.weight.lora_b", 1025, 64),
    )
    yield one("rank too large", "", "lora_shape", replace(LORA, tensors=wide), LORA)
    embedding = (*ADAPTER.tensors[:2], of_shape("token_embd.weight.lora_a", 8, len(TOKENS)),
                 ADAPTER.tensors[3])  # fmt: skip
    about = "rank of embeddings: abort at the first decode"
    yield one("embeddings", about, "lora_shape", replace(ADAPTER, tensors=embedding), ADAPTER)
    for number in ("0", "5", "512", "536870912", "4294967296", "9999999999", "01", "-1", "1e1", ""):
        name = f"direction.{number}"
        bad = replace(VECTOR, tensors=(of_shape(name, 64),))
        about = "steeleq PoC: write before the heap"
        yield one(name, about, "cvector_layer", bad, VECTOR)
    for key, values in (
        ("image_size", (0, 8193, 1 << 31)), ("patch_size", (0, 337, 1 << 31)),
        ("block_count", (0, 513, 1 << 31)), ("attention.head_count", (0, 3, 1025)),
        ("embedding_length", (0, 1 << 17)), ("spatial_merge_size", (0, 65)),
        ("projector.scale_factor", (0, 65)),
        ("preproc_image_size", (0, 1 << 31)), ("image_crop_resolution", (1 << 31,)),
        ("image_max_pixels", (0, 1 << 31)), ("preproc_max_tiles", (0, 1 << 16)),
        ("window_size", (0, 1 << 31)), ("n_wa_pattern", (513, 1 << 31)),
    ):  # fmt: skip
        for value in values:
            bad = PROJECTOR.with_value(f"clip.vision.{key}", scalar(U32, value))
            about = "llama.cpp#27071, #27166: divisions, stack array, resize"
            yield one(f"{key} {value}", about, "clip_hparams", bad, PROJECTOR)
    for key in ("image_mean", "image_std"):
        for raw in (array(F32, []), array(F32, [0.5] * 2), array(F32, [0.5] * 4), None):
            bad = PROJECTOR.with_value(f"clip.vision.{key}", raw)
            about = "three colours are read"
            name = f"{key} {len(raw or b'')}"
            yield one(name, about, "clip_hparams", bad, PROJECTOR)
    for layer in (3, -2, 1 << 30):
        bad = PROJECTOR.with_value("clip.vision.feature_layer", array(I32, [layer]))
        yield one(f"feature layer {layer}", "", "clip_hparams", bad, PROJECTOR)


def more_additions() -> Iterator[Case]:
    def one(name: str, about: str, code: str, hostile: GgufFile, sound: GgufFile) -> Case:
        return Case(f"H {name}", about, code, hostile.encode(), sound.encode())

    for sides in ([336], [336, -1], [336, 1 << 30]):
        bad = PROJECTOR.with_value("clip.vision.image_grid_pinpoints", array(I32, sides))
        yield one(f"cuts {sides}", "", "clip_hparams", bad, PROJECTOR)
    for key in ("use_gelu", "use_silu"):
        bad = PROJECTOR.with_value(f"clip.{key}", scalar(U32, 1))
        yield one(f"{key} as a number", "abort", "kv_type_expected", bad, PROJECTOR)
    bad = PROJECTOR.with_value("clip.minicpmv_query_num", scalar(U32, 1 << 31))
    yield one("queries", "", "clip_hparams", bad, PROJECTOR)
    evil = scalar(STRING, "{{ ''.__class__ }}")
    for kind, sound in (("adapter", LORA), ("projector", PROJECTOR), ("vector", VECTOR)):
        case = one(f"template of a {kind}", "", "template_ssti",
                   sound.with_value("tokenizer.chat_template", evil), sound)  # fmt: skip
        yield replace(case, verdict="flag")
