"""Limits by name: what there is to be limited, for whom, and between which bounds; pure.

Trust: any side. Input: names and numbers of the operator, checked here.

A limit is said for a tenant, for one of its keys, or for a tenant's use of one model. They add up:
a request has to fit into each of them. What nobody set for a tenant comes from `[limits]`; keys and
models have no limits of their own until some are set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from corral.core.config import Limits
from corral.core.errors import CorralError

_LARGEST: Final = 1 << 50
STORED_DAYS: Final = 30
_STORED_BYTES: Final = 64 << 20


class Scope(NamedTuple):
    """Whom a limit is for.

    Attributes:
        key_id: 0 for all keys.
        model: empty for all models.
    """

    tenant: str
    key_id: int = 0
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The limits of one scope; None and 0 mean that this scope does not limit it.

    Attributes:
        concurrent_requests: streams at the same time.
        queued_requests: that may wait beyond those; 0 means none.
        tokens_per_day: by the calendar day in UTC; `tokens_per_month` by the month.
        context_tokens: of each request of the tenant, or of the tenant with this model.
        max_workers: engines of the tenant at the same time.
        worker_memory_bytes: limits of those engines, added up.
        stored_completions: that may be stored (`store: true`); 0 means none, and is the default.
        stored_bytes: of all of them together.
        stored_days: after which each is deleted.
        weight: share of engine time beside other tenants that want more than there is.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    queued_requests: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    context_tokens: int | None = None
    max_workers: int | None = None
    worker_memory_bytes: int | None = None
    stored_completions: int | None = None
    stored_bytes: int | None = None
    stored_days: int | None = None
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    low: int
    high: int
    scopes: str


_ANY: Final = "tenant key model"
KINDS: Final = {
    "requests_per_minute": _Kind(1, 1 << 31, _ANY),
    "tokens_per_minute": _Kind(0, _LARGEST, _ANY),
    "concurrent_requests": _Kind(1, 4096, _ANY),
    "queued_requests": _Kind(0, 65536, _ANY),
    "tokens_per_day": _Kind(0, _LARGEST, _ANY),
    "tokens_per_month": _Kind(0, _LARGEST, _ANY),
    "context_tokens": _Kind(128, 1 << 20, "tenant model"),
    "max_workers": _Kind(0, 64, "tenant"),
    "worker_memory_bytes": _Kind(0, _LARGEST, "tenant"),
    "stored_completions": _Kind(0, 100_000, "tenant"),
    "stored_bytes": _Kind(0, _LARGEST, "tenant"),
    "stored_days": _Kind(1, 3650, "tenant"),
    "weight": _Kind(1, 1000, "tenant"),
}


def scope_kind(scope: Scope) -> str:
    """Return `tenant`, `key` or `model`."""
    if scope.key_id:
        return "key"
    return "model" if scope.model else "tenant"


def check_quota(scope: Scope, name: str, value: int | None) -> None:
    """Return if this limit may be set for this scope; None stands for whatever it was set to.

    Raises:
        CorralError: codes `no_such_quota`, `quota_scope`, `quota_value`.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise CorralError(
            "no_such_quota", f"there is no limit of that name; there are {', '.join(KINDS)}"
        )
    if scope_kind(scope) not in kind.scopes.split():
        raise CorralError(
            "quota_scope", f"{name} is a limit of a {' or a '.join(kind.scopes.split())} only"
        )
    if value is not None and not kind.low <= value <= kind.high:
        raise CorralError("quota_value", f"{name} is from {kind.low} to {kind.high}")


def default_quota(limits: Limits) -> Quota:
    """Return what a tenant has that nobody set anything for."""
    return Quota(
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        concurrent_requests=limits.concurrent_requests,
        queued_requests=limits.queued_requests,
        tokens_per_day=limits.tokens_per_day,
        tokens_per_month=limits.tokens_per_month,
        max_workers=limits.max_workers,
        worker_memory_bytes=limits.worker_memory_bytes,
        stored_completions=0,
        stored_bytes=_STORED_BYTES,
        stored_days=STORED_DAYS,
        weight=1,
    )


def overlaid(quota: Quota, changes: Mapping[str, int]) -> Quota:
    """Return `quota` with what was set; names that this version does not know change nothing."""
    return replace(quota, **{name: v for name, v in changes.items() if name in KINDS})
