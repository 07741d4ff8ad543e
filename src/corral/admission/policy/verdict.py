"""What a policy decided about a model, as its signed receipt says it.

Trust: any zone that reads receipts; no I/O. The gateway enforces an `Allowance` from here alone: it
never reads a policy, so that a missing or changed policy file cannot widen anything.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

Tier = Literal["", "namespaces", "gvisor", "vm"]
Outcome = Literal["admit", "hold"]

EVERY_TENANT: Final = "*"

_Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Tenant = Annotated[str, Meta(pattern=r"\A(?:\*|[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?)\Z")]


class Allowance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What models of a trust level may do; a limit of None is the configuration's.

    Attributes:
        tier: least sandbox tier; empty: the configuration's.
        tenants: who may use the models, if they are granted them besides; `*` is everybody.
        context_tokens_max: of each request.
        answer_tokens_max: of each answer.
        parallel_max: requests that one worker works on at the same time.
        memory_bytes_max: of one worker.
    """

    tier: Tier = ""
    tenants: Annotated[tuple[_Tenant, ...], Meta(max_length=1000)] = (EVERY_TENANT,)
    context_tokens_max: Annotated[int, Meta(ge=128, le=1 << 20)] | None = None
    answer_tokens_max: Annotated[int, Meta(ge=1, le=1 << 20)] | None = None
    parallel_max: Annotated[int, Meta(ge=1, le=64)] | None = None
    memory_bytes_max: Annotated[int, Meta(ge=64 << 20, le=1 << 50)] | None = None

    def admits_tenant(self, tenant: str) -> bool:
        """Return whether the policy lets a tenant use the model; a grant is needed besides."""
        return tenant in self.tenants or EVERY_TENANT in self.tenants


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The outcome of a policy for one model; its level is the receipt's `trust`.

    Attributes:
        policy, policy_sha256: name and digest of the policy's text.
        rule: id of the grant or cap that settled the level; empty if no grant matched.
        outcome: `hold`: admitted once, and not to be used by anybody until decided otherwise.
        reasons: sentences for people.
        allowance: what the level may do.
        decided_at: Unix seconds.
    """

    policy: str
    policy_sha256: _Sha256
    rule: str
    outcome: Outcome
    reasons: tuple[str, ...]
    allowance: Allowance
    decided_at: int
