"""Memory shapes and estimates for tests that need some, whatever they are."""

from __future__ import annotations

from dataclasses import dataclass

from corral.admission.estimate import MemoryShape, estimate_memory

SMALL = MemoryShape(
    weights_bytes=1024, kv_bytes_per_token=512, width=64, inner_width=128, vocabulary=32
)
SMALL_ESTIMATE = estimate_memory(SMALL, context_tokens=2048, parallel=4)


@dataclass(frozen=True)
class Model:
    """What `make_demand` asks of a receipt."""

    memory: MemoryShape = SMALL
    context_train_tokens: int = 2048
