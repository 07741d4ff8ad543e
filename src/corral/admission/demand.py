"""What a worker of a model is started with, and whether that may be: context, threads, memory.

Trust: operator side and gateway; pure but for the machine's sizes. Input: numbers of a hostile
file, bounded by their types, and the operator's configuration. What does not fit is refused, never
cut: a worker with less memory than its model needs only dies later, in the middle of an answer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Protocol

from corral.admission.estimate import (
    Estimate,
    MemoryShape,
    estimate_memory,
    host_ceiling_bytes,
    limit_bytes,
)
from corral.core.config import Engine
from corral.core.errors import CorralError
from corral.core.limits import MIB, WORKER_BYTES_MIN

CONTEXT_TOKENS_MIN: Final = 128


class Sized(Protocol):
    """What is known of a model's size; facts of a scan and receipts are."""

    @property
    def memory(self) -> MemoryShape:
        """What of its structure decides about memory."""

    @property
    def context_train_tokens(self) -> int:
        """Context that the model was made for; 0 if unknown."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a worker is started with.

    Attributes:
        memory_bytes: its limit.
    """

    estimate: Estimate
    threads: int
    memory_bytes: int


def context_tokens(model: Sized, config: Engine) -> int:
    """Return the context of each request: the configured one, at most what the model knows."""
    if model.context_train_tokens < CONTEXT_TOKENS_MIN:
        return config.context_tokens
    return min(config.context_tokens, model.context_train_tokens)


def threads(config: Engine) -> int:
    """Return the compute threads of a worker: as configured, or one for each usable core."""
    return config.threads or len(os.sched_getaffinity(0))


def make_demand(model: Sized, config: Engine, *, tokens: int = 0, parallel: int = 0) -> Demand:
    """Return what a worker of a model is started with.

    Args:
        model: facts or receipt.
        config: with the limits of the model's trust level; `memory_bytes`, where set, is the
            limit in place of the one by estimate.
        tokens: context of each request; 0 takes `context_tokens`.
        parallel: requests at the same time; 0 takes the configured ones.

    Raises:
        CorralError: code `over_ceiling`: more memory than the configuration, the trust level or
            this machine lets one worker have.
    """
    estimate = estimate_memory(
        model.memory,
        context_tokens=tokens or context_tokens(model, config),
        parallel=parallel or config.parallel,
    )
    ceilings = {
        "engine.memory_max_bytes or the policy": config.memory_max_bytes,
        "three quarters of this machine's memory": host_ceiling_bytes(),
        "engine.memory_bytes": config.memory_bytes,
    }
    ceiling, name = min((number, name) for name, number in ceilings.items() if number)
    count = threads(config)
    limit = max(WORKER_BYTES_MIN, limit_bytes(estimate, threads=count))
    needed = estimate.total_bytes if config.memory_bytes else limit
    if needed > ceiling:
        raise CorralError(
            "over_ceiling",
            f"a worker of this model needs {needed // MIB} MiB for {estimate.parallel} times "
            f"{estimate.context_tokens} tokens of context; {name} allows {ceiling // MIB} MiB",
            remedy="lower engine.context_tokens or engine.parallel, take a smaller model, "
            "or raise the ceiling",
        )
    return Demand(estimate, count, ceiling if config.memory_bytes else limit)
