"""How much a worker may use: the launcher request for a model, sized by its receipt's estimate.

Trust: gateway [net] and command line. Input: the estimate of a signed receipt (made from an
untrusted file, so every number is clamped) and the operator's configuration.
"""

from __future__ import annotations

import os
from typing import Final, Protocol

from corral.core.config import Config, Engine
from corral.core.ids import Digest, ModelName, TenantName
from corral.core.limits import ENGINE_BASE_BYTES, MIB
from corral.ipc.messages import StartEngine

_SLACK_PERCENT: Final = 10
_CONTEXT_TOKENS_MIN: Final = 128
_BYTES_MAX: Final = 1 << 50
"""Clamp of every estimate: no sum or product leaves the launcher wire's integers."""


class Estimate(Protocol):
    """What a model needs; a `Receipt` of admission is one."""

    @property
    def weights_bytes(self) -> int:
        """Size of the weights; they count as page cache in a memory cgroup."""

    @property
    def kv_bytes_per_token(self) -> int:
        """KV cache for one token of context."""

    @property
    def context_train_tokens(self) -> int:
        """Context that the model was made for; 0 if unknown."""


def context_tokens(estimate: Estimate, config: Engine) -> int:
    """Return the context of each request: the configured one, at most what the model knows."""
    if estimate.context_train_tokens < _CONTEXT_TOKENS_MIN:
        return config.context_tokens
    return min(config.context_tokens, estimate.context_train_tokens)


def memory_bytes(estimate: Estimate, config: Engine) -> int:
    """Return the most memory that a worker of this model may use.

    The sum of engine base, KV cache of all parallel requests and weights, plus 10 %; at most
    `engine.memory_max_bytes`. `engine.memory_bytes`, where set, replaces the estimate.
    """
    if config.memory_bytes:
        return min(config.memory_bytes, config.memory_max_bytes)
    kv_bytes = (
        _clamped(estimate.kv_bytes_per_token) * context_tokens(estimate, config) * config.parallel
    )
    needed = ENGINE_BASE_BYTES + _clamped(kv_bytes) + _clamped(estimate.weights_bytes)
    return min(needed + needed * _SLACK_PERCENT // 100, config.memory_max_bytes)


def threads(config: Engine) -> int:
    """Return the compute threads of a worker: as configured, or one for each usable core."""
    return config.threads or len(os.sched_getaffinity(0))


def engine_start(
    *,
    tenant: TenantName,
    model: ModelName,
    digest: Digest,
    estimate: Estimate,
    config: Config,
) -> StartEngine:
    """Return the request that starts a worker of an admitted model for one tenant.

    Args:
        tenant: whose worker it is.
        model: its name, for the process title.
        digest: sha256 of the admitted blob.
        estimate: the model's receipt.
        config: the effective configuration.
    """
    return StartEngine(
        tenant=tenant,
        model=model,
        digest=digest,
        quarantined=False,
        context_tokens=context_tokens(estimate, config.engine),
        parallel=config.engine.parallel,
        threads=threads(config.engine),
        memory_bytes=memory_bytes(estimate, config.engine),
        event_interval_ms=config.engine.event_interval_ms,
    )


def trial_start(digest: Digest, config: Config) -> StartEngine:
    """Return the request that loads a quarantined model once, for its trial.

    There is no estimate that could be trusted yet, so the ceiling is the operator's own, and
    never more than three quarters of the machine.
    """
    machine_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return StartEngine(
        tenant="trial",
        model="trial",
        digest=digest,
        quarantined=True,
        context_tokens=min(512, config.engine.context_tokens),
        parallel=1,
        threads=threads(config.engine),
        memory_bytes=max(256 * MIB, min(config.engine.memory_max_bytes, machine_bytes * 3 // 4)),
    )


def _clamped(value: int) -> int:
    return max(0, min(value, _BYTES_MAX))
