"""What a policy leaves of the configuration for a model: the allowance of its trust level.

Trust: gateway [net] and command line; pure. Input: an allowance of a signed receipt, the operator's
configuration. An allowance can only take away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, get_args

from corral.admission.policy.verdict import Allowance
from corral.admission.trust_level import Trust
from corral.core.config import TIERS, Config
from corral.tenancy.quota import Quota

_LEVELS: Final[tuple[Trust, ...]] = get_args(Trust)


def allowed_config(config: Config, allowance: Allowance) -> Config:
    """Return the configuration with the limits of an allowance."""
    engine = config.engine
    return replace(
        config,
        engine=replace(
            engine,
            context_tokens=_least(engine.context_tokens, allowance.context_tokens_max),
            parallel=_least(engine.parallel, allowance.parallel_max),
            memory_max_bytes=_least(engine.memory_max_bytes, allowance.memory_bytes_max),
        ),
        limits=replace(
            config.limits,
            max_tokens=_least(config.limits.max_tokens, allowance.answer_tokens_max),
        ),
    )


def quota_config(config: Config, quota: Quota) -> Config:
    """Return the configuration with the context that a tenant's limits leave of it."""
    if not quota.context_tokens:
        return config
    context = min(config.engine.context_tokens, quota.context_tokens)
    return replace(config, engine=replace(config.engine, context_tokens=context))


def tier_is_given(config: Config, trust: Trust, allowance: Allowance) -> bool:
    """Return whether models of a level get at least the tier that their allowance demands.

    The launcher goes by the least trusted name of a file, so the lower levels count too.

    Args:
        config: what the launcher was started with.
        trust: level of the model's receipt.
        allowance: of the model's receipt.
    """
    if not allowance.tier:
        return True
    wanted = TIERS.index(allowance.tier)
    levels = _LEVELS[: _LEVELS.index(trust) + 1]
    return all(TIERS.index(tier_of_level(config, level)) >= wanted for level in levels)


def tier_of_level(config: Config, trust: Trust) -> str:
    """Return the tier that the configuration gives to models of a level."""
    named = getattr(config.tier_by_trust, trust) or config.sandbox.tier
    return max(named, config.sandbox.tier, key=TIERS.index)


def _least(configured: int, allowed: int | None) -> int:
    return configured if allowed is None else min(configured, allowed)
