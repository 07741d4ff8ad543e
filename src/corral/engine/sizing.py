"""The launcher requests that start workers, sized by what the receipt says of the model.

Trust: gateway [net] and command line. Input: signed receipts, whose numbers are of an untrusted
file, and the operator's configuration.
"""

from __future__ import annotations

from typing import Any

from corral.admission.demand import CONTEXT_TOKENS_MIN, Demand, Sized, make_demand
from corral.admission.derivation import Derivation
from corral.core.config import Config, Engine
from corral.core.ids import Digest, ModelName, TenantName
from corral.engine.capacity import Footprint
from corral.ipc.messages import StartEngine

_TRIAL_TOKENS = 512


def engine_start(
    *,
    tenant: TenantName,
    model: ModelName,
    digest: Digest,
    receipt: Sized,
    config: Config,
    derivation: Derivation | None = None,
) -> StartEngine:
    """Return the request that starts a worker of an admitted model for one tenant.

    Args:
        tenant: whose worker it is.
        model: its name, for the process title.
        digest: sha256 of the admitted blob.
        receipt: the model's receipt.
        config: the effective configuration.
        derivation: of the receipt, which may name an adapter or a projector.

    Raises:
        CorralError: code `over_ceiling`.
    """
    demand = make_demand(receipt, config.engine)
    return StartEngine(
        tenant=tenant,
        model=model,
        digest=digest,
        quarantined=False,
        context_tokens=demand.estimate.context_tokens,
        parallel=demand.estimate.parallel,
        threads=demand.threads,
        memory_bytes=demand.memory_bytes,
        event_interval_ms=config.engine.event_interval_ms,
        **_laid_options(derivation),
    )


def engine_footprint(digest: Digest, receipt: Sized, config: Config) -> Footprint:
    """Return what a worker of an admitted model takes, for the plan of `engine.capacity`.

    Raises:
        CorralError: code `over_ceiling`.
    """
    estimate = make_demand(receipt, config.engine).estimate
    mapped_bytes = estimate.weights_bytes + estimate.program_bytes
    return Footprint(digest, estimate.private_bytes, mapped_bytes)


def trial_demand(model: Sized, config: Engine) -> Demand:
    """Return what a trial load takes: one request with a small context.

    Raises:
        CorralError: code `over_ceiling`.
    """
    most = max(CONTEXT_TOKENS_MIN, model.context_train_tokens)
    tokens = min(_TRIAL_TOKENS, config.context_tokens, most)
    return make_demand(model, config, tokens=tokens, parallel=1)


def trial_start(
    digest: Digest, demand: Demand, derivation: Derivation | None = None
) -> StartEngine:
    """Return the request that loads a quarantined model once, for its trial."""
    return StartEngine(
        tenant="trial",
        model="trial",
        digest=digest,
        quarantined=True,
        context_tokens=demand.estimate.context_tokens,
        parallel=demand.estimate.parallel,
        threads=demand.threads,
        memory_bytes=demand.memory_bytes,
        **_laid_options(derivation),
    )


def _laid_options(derivation: Derivation | None) -> dict[str, Any]:
    if derivation is None or derivation.laid is None:
        return {}
    if derivation.adapter is None:
        return {"projector": derivation.laid.digest}
    return {"adapter": derivation.adapter.digest, "adapter_scale": derivation.adapter.scale}
