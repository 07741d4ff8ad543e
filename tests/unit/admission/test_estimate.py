"""The arithmetic of the estimate, and the ceilings that it is held against."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from corral.admission.demand import make_demand
from corral.admission.estimate import (
    BATCH_TOKENS,
    BYTES_MAX,
    CHECKPOINTS,
    IMAGE_BATCH_TOKENS,
    Estimate,
    MemoryShape,
    estimate_memory,
    host_ceiling_bytes,
    limit_bytes,
)
from corral.core.config import Config, Engine
from corral.core.errors import CorralError
from corral.core.limits import GIB, MIB, WORKER_BYTES_MIN
from corral.engine.drivers import xllamacpp
from corral.engine.media_bounds import MEDIA_BYTES
from corral.engine.sizing import engine_start
from corral.ipc.messages import StartEngine, decode_message, encode_message
from tests.support.memory_shapes import SMALL, Model

PARTS = {name for name in Estimate.__struct_fields__ if name.endswith("_bytes")}
DEMO = MemoryShape(
    weights_bytes=96_574_464, kv_bytes_per_token=23_040, width=576, inner_width=1536,
    vocabulary=49_152, merges=48_900,
)  # fmt: skip
"""SmolLM2-135M, Q4_1."""
GEMMA = MemoryShape(
    weights_bytes=246_586_880, repacked_bytes=13_271_040, kv_bytes_per_token=3072,
    window_kv_bytes_per_token=15_360, window_tokens=512, width=1024, inner_width=2048,
    vocabulary=262_144,
)  # fmt: skip
"""gemma-3-270m, Q4_K_M."""


def refusal(model: Model, config: Engine, **options: int) -> CorralError:
    with pytest.raises(CorralError) as caught:
        make_demand(model, config, **options)
    return caught.value


def test_the_engine_is_told_what_the_estimate_supposes() -> None:
    assert (BATCH_TOKENS, CHECKPOINTS) == (xllamacpp._PREFILL_BATCH, xllamacpp._CHECKPOINTS)
    assert IMAGE_BATCH_TOKENS == xllamacpp._IMAGE_BATCH


def test_a_projector_brings_its_images_for_each_request() -> None:
    seeing = replace(DEMO, projector_bytes=MIB)
    blind = estimate_memory(DEMO, context_tokens=512, parallel=3)
    found = estimate_memory(seeing, context_tokens=512, parallel=3)
    assert (blind.projector_bytes, found.projector_bytes) == (0, MIB + 3 * 8 * MEDIA_BYTES)
    assert found.compute_bytes > blind.compute_bytes
    # What an encoder reserves counts in the limit, and is nobody's memory.
    more = [limit_bytes(one, threads=2) - one.total_bytes * 11 // 10 for one in (blind, found)]
    assert 167 * MIB < more[1] - more[0] < 169 * MIB


@pytest.mark.parametrize(
    ("shape", "tokens", "parallel", "measured_mib"),
    # Private memory with all slots used, of the bare engine (docs/estimate.md).
    [(DEMO, 512, 1, 45.6), (DEMO, 2048, 1, 80.0), (DEMO, 2048, 4, 217.7), (DEMO, 512, 8, 131.0),
     (GEMMA, 512, 1, 96.5), (GEMMA, 8192, 1, 133.8), (GEMMA, 2048, 4, 224.3)],
)  # fmt: skip
def test_what_was_measured_is_met(
    shape: MemoryShape, tokens: int, parallel: int, measured_mib: float
) -> None:
    found = estimate_memory(shape, context_tokens=tokens, parallel=parallel).private_bytes / MIB
    assert abs(found - measured_mib) < 0.15 * measured_mib


def test_a_window_is_kept_in_place_of_the_whole_context() -> None:
    long, longer = (estimate_memory(GEMMA, context_tokens=n, parallel=1) for n in (8192, 16384))
    assert long.kv_cache_bytes == 8192 * 3072 + 768 * 15_360
    assert longer.kv_cache_bytes - long.kv_cache_bytes == 8192 * 3072
    short = estimate_memory(GEMMA, context_tokens=256, parallel=2)
    assert short.kv_cache_bytes == 2 * 256 * (3072 + 15_360)
    assert long.checkpoints_bytes == CHECKPOINTS * 768 * 15_360
    assert estimate_memory(DEMO, context_tokens=8192, parallel=1).checkpoints_bytes == 0


def test_a_recurrent_model_has_a_state_for_each_request_whatever_the_context() -> None:
    shape = replace(SMALL, kv_bytes_per_token=0, state_bytes=1000)
    for tokens in (128, 1 << 20):
        found = estimate_memory(shape, context_tokens=tokens, parallel=3)
        assert (found.kv_cache_bytes, found.state_bytes) == (0, 3000)
        assert found.checkpoints_bytes == CHECKPOINTS * 3000


_sizes = st.integers(0, BYTES_MAX)
_counts = st.integers(0, 1 << 40)


@given(_sizes, _sizes, _sizes, _sizes, _counts, _counts, _counts, st.integers(128, 1 << 20),
       st.integers(1, 64))  # fmt: skip
def test_no_shape_overflows_anything(  # noqa: PLR0917 - one draw each
    a: int, b: int, c: int, d: int, e: int, f: int, g: int, tokens: int, parallel: int
) -> None:
    shape = MemoryShape(
        weights_bytes=a, repacked_bytes=b, kv_bytes_per_token=c, window_kv_bytes_per_token=d,
        window_tokens=e, state_bytes=a, width=f, inner_width=g, vocabulary=e, merges=f,
    )  # fmt: skip
    estimate = estimate_memory(shape, context_tokens=tokens, parallel=parallel)
    assert all(0 <= asdict(estimate)[part] <= BYTES_MAX for part in PARTS)
    assert estimate.total_bytes < 1 << 63
    try:
        request = started(Model(shape, tokens))
    except CorralError as error:
        assert error.code == "over_ceiling"
    else:
        assert decode_message(encode_message(request, 1)) == (request, 1)
        assert estimate.weights_bytes < request.memory_bytes <= Config().engine.memory_max_bytes


def started(model: Model, config: Config | None = None) -> StartEngine:
    return engine_start(
        tenant="t", model="m", digest="0" * 64, receipt=model, config=config or Config()
    )  # type: ignore[arg-type]


def test_the_limit_is_over_the_estimate_with_its_mapped_weights() -> None:
    demand = make_demand(Model(DEMO), Engine(threads=2))
    assert demand.memory_bytes > demand.estimate.total_bytes * 11 // 10
    assert demand.memory_bytes < demand.estimate.total_bytes * 2
    assert make_demand(Model(), Engine()).memory_bytes >= WORKER_BYTES_MIN


@pytest.mark.claim("EST-02")
def test_what_is_over_a_ceiling_is_refused_and_never_cut() -> None:
    heavy = Model(replace(DEMO, weights_bytes=2 * GIB))
    error = refusal(heavy, Engine(memory_max_bytes=GIB))
    assert error.code == "over_ceiling"
    assert "engine.memory_max_bytes or the policy allows 1024 MiB" in error.message
    assert "machine" in refusal(Model(replace(DEMO, weights_bytes=1 << 49)),
                                Engine(memory_max_bytes=1 << 50)).message  # fmt: skip
    assert host_ceiling_bytes() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # A context that is asked too long, where a shorter one is let through.
    ceiling = Engine(memory_max_bytes=512 * MIB, parallel=1, context_tokens=1 << 15)
    assert refusal(Model(DEMO, 1 << 15), ceiling).code == "over_ceiling"
    assert make_demand(Model(DEMO, 1 << 15), ceiling, tokens=2048).memory_bytes < 512 * MIB


@pytest.mark.claim("EST-02")
def test_a_limit_of_the_operators_own_is_taken_if_the_estimate_fits() -> None:
    own = Engine(memory_bytes=700_000_000)
    assert make_demand(Model(DEMO), own).memory_bytes == 700_000_000
    assert refusal(Model(DEMO), Engine(memory_bytes=200 * MIB)).code == "over_ceiling"
    over = Engine(memory_bytes=2 * GIB, memory_max_bytes=GIB)
    assert make_demand(Model(DEMO), over).memory_bytes == GIB
