"""What a worker of a model will take, before anything of the model is loaded: arithmetic in parts.

Trust: any zone that reads receipts; pure. Input: a `MemoryShape` from the scan jail, so every
number is a hostile file's, bounded by its type; results are clamped and overflow nothing.

Each part follows what llama.cpp allocates (sources in its repository, build b11434); what no source
gives is measured (docs/estimate.md has both, and what the kernel counted beside):

    weights      the tensors, mapped from the file: page cache, one copy for all workers
    program      mapped code of interpreter and engine, likewise
    repacked     private copies of tensors in the order of the processor (ggml-cpu/repack.cpp)
    kv_cache     16-bit keys and values, of every slot (llama-kv-cache.cpp, llama-kv-cache-iswa.cpp)
    state        32-bit state of recurrent layers, of every slot (llama-memory-recurrent.cpp)
    checkpoints  copies of what cannot be rolled back: state and windows (server-context.cpp)
    vocabulary   tables of tokens and merges (llama-vocab.cpp)
    output       logits and candidates of a token of every slot (llama-context.cpp, -sampler.cpp)
    compute      the widest moment of the graph, and attention masks (ggml-alloc.c)
    adapter      the matrices of a LoRA adapter, which are not mapped (llama-adapter.cpp)
    projector    a projector's matrices, likewise (clip.cpp); its encoder for one image; the images
                 of a request of every slot, as JSON, base64, PNG and pixels
    engine       interpreter, graph, slots, templates: what does not depend on the model
"""

from __future__ import annotations

import os
from typing import Annotated, Final

import msgspec
from msgspec import Meta

BATCH_TOKENS: Final = 128
"""Prompt tokens of one step: `n_ubatch` of the driver, which a test compares."""
IMAGE_BATCH_TOKENS: Final = 256
"""Likewise, of a model with a projector."""
CHECKPOINTS: Final = 2
"""Checkpoints of each slot: `n_ctx_checkpoints` of the driver, likewise."""
BYTES_MAX: Final = 1 << 50
"""Clamp of every part: no sum leaves the wire's integers."""

_MIB: Final = 1 << 20
_PROGRAM_BYTES: Final = 20 * _MIB
_ENGINE_BYTES: Final = 17 * _MIB
_TOKEN_BYTES: Final = 176
"""40 in the list of tokens, 32 in the list of pieces, about 100 in the hash table of texts."""
_MERGE_BYTES: Final = 108
"""Node of a hash table: two strings of 32 bytes, rank, hash, link; and its bucket."""
_WINDOW_STEP: Final = 256
_LOGIT_BYTES: Final = 4
_CANDIDATE_BYTES: Final = 12
_FLOAT_BYTES: Final = 4
_MASK_BYTES: Final = 2
_STACK_BYTES: Final = 8 * _MIB
_STACKS: Final = 12
"""Threads of a worker besides those of requests and of computing, each with its stack."""
_PICTURES_BYTES: Final = 64 * _MIB
"""Eight times what a request may bring (`engine.media_bounds`): measured, docs/estimate.md."""
_SCHEDULER_BYTES: Final = 168 * _MIB
"""Room for 8,192 splits of 30 inputs each, twice, that a projector's encoder reserves and leaves
(ggml-backend.cpp, `ggml_backend_sched_new`); counted only by RLIMIT_DATA."""
_MARGIN_PERCENT: Final = 10
_HOST_SHARE: Final = (3, 4)

_Bytes = Annotated[int, Meta(ge=0, le=BYTES_MAX)]
_Count = Annotated[int, Meta(ge=0, le=1 << 40)]


class MemoryShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What of a model's structure decides about memory.

    Attributes:
        weights_bytes: of all tensors.
        repacked_bytes: of those that an engine on x86-64 keeps a rearranged copy of.
        kv_bytes_per_token: keys and values of the layers that keep the whole context.
        window_kv_bytes_per_token: of those that keep a window only.
        window_tokens: how long the window is; 0 if no layer has one.
        state_bytes: state of recurrent layers for one sequence.
        width: floats of the residual stream or of all query heads, whichever is wider.
        inner_width: floats between the two halves of the widest block, for one token.
        vocabulary: tokens.
        merges: pairs of a byte-pair vocabulary.
        adapter_bytes: of the adapter that is laid over the model.
        projector_bytes: of the projector that is laid over it, and of its encoder; 0: none.
    """

    weights_bytes: _Bytes
    repacked_bytes: _Bytes = 0
    kv_bytes_per_token: _Bytes
    window_kv_bytes_per_token: _Bytes = 0
    window_tokens: _Count = 0
    state_bytes: _Bytes = 0
    width: _Count
    inner_width: _Count
    vocabulary: _Count
    merges: _Count = 0
    adapter_bytes: _Bytes = 0
    projector_bytes: _Bytes = 0


class Estimate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Memory of one worker, in named parts; see the head of this module.

    Attributes:
        context_tokens: of each request.
        parallel: requests at the same time.
    """

    context_tokens: int
    parallel: int
    weights_bytes: int
    program_bytes: int
    repacked_bytes: int
    kv_cache_bytes: int
    state_bytes: int
    checkpoints_bytes: int
    vocabulary_bytes: int
    output_bytes: int
    compute_bytes: int
    engine_bytes: int
    adapter_bytes: int = 0
    projector_bytes: int = 0

    @property
    def private_bytes(self) -> int:
        """What each worker has for itself: anonymous memory."""
        return (
            self.repacked_bytes
            + self.kv_cache_bytes
            + self.state_bytes
            + self.checkpoints_bytes
            + self.vocabulary_bytes
            + self.output_bytes
            + self.compute_bytes
            + self.engine_bytes
            + self.adapter_bytes
            + self.projector_bytes
        )

    @property
    def total_bytes(self) -> int:
        """Private memory and mapped files: the resident set of a worker that has used all."""
        return self.private_bytes + self.weights_bytes + self.program_bytes


def estimate_memory(shape: MemoryShape, *, context_tokens: int, parallel: int) -> Estimate:
    """Return what a worker takes once every slot has been used for a whole context."""
    batch = max(IMAGE_BATCH_TOKENS if shape.projector_bytes else BATCH_TOKENS, parallel)
    window = 0
    if shape.window_tokens:
        padded = -(-(shape.window_tokens + batch) // _WINDOW_STEP) * _WINDOW_STEP
        window = min(context_tokens, padded)
    window_bytes = shape.window_kv_bytes_per_token * window
    logits = parallel * shape.vocabulary * _LOGIT_BYTES
    residual = batch * shape.width * _FLOAT_BYTES
    block = batch * 2 * shape.inner_width * _FLOAT_BYTES + 8 * residual
    pictures = _PICTURES_BYTES if shape.projector_bytes else 0
    masks = batch * (context_tokens + window) * _MASK_BYTES
    return Estimate(
        context_tokens=context_tokens,
        parallel=parallel,
        weights_bytes=_clamped(shape.weights_bytes),
        program_bytes=_PROGRAM_BYTES,
        repacked_bytes=_clamped(shape.repacked_bytes),
        kv_cache_bytes=_clamped(
            (shape.kv_bytes_per_token * context_tokens + window_bytes) * parallel
        ),
        state_bytes=_clamped(shape.state_bytes * parallel),
        checkpoints_bytes=_clamped((window_bytes + shape.state_bytes) * CHECKPOINTS * parallel),
        vocabulary_bytes=_clamped(shape.vocabulary * _TOKEN_BYTES + shape.merges * _MERGE_BYTES),
        output_bytes=_clamped(logits + parallel * shape.vocabulary * _CANDIDATE_BYTES),
        compute_bytes=_clamped(masks + max(block, logits + 5 * residual)),
        engine_bytes=_ENGINE_BYTES,
        adapter_bytes=_clamped(shape.adapter_bytes),
        projector_bytes=_clamped(shape.projector_bytes + pictures * parallel),
    )


def limit_bytes(estimate: Estimate, *, threads: int) -> int:
    """Return the limit of such a worker: the estimate, a tenth, and what is reserved for nothing.

    Mapped weights are in it because a control group counts them for whoever touches them first;
    stacks, and what an encoder reserves, because RLIMIT_DATA, the second wall, counts what is never
    touched.
    """
    stacks = _STACK_BYTES * (_STACKS + estimate.parallel + threads)
    total = estimate.total_bytes
    reserved = stacks + (_SCHEDULER_BYTES if estimate.projector_bytes else 0)
    return total + total * _MARGIN_PERCENT // 100 + reserved


def host_ceiling_bytes() -> int:
    """Return what one worker may have of this machine: three quarters of its memory."""
    part, whole = _HOST_SHARE
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * part // whole


def _clamped(value: int) -> int:
    return max(0, min(value, BYTES_MAX))
