"""Who makes a request: the outcome of authentication, and what it may use.

Trust: gateway [net]. Made only by `tenancy.keyring`; never made from anything a request says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from corral.core.ids import TenantName

Role = Literal["tenant", "admin"]

EVERY_MODEL: Final = "*"
"""A grant of this name covers every admitted model, present and future."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated key with its tenant's grants.

    Attributes:
        key_id: for usage records.
        key_prefix: public part of the key, fit for logs.
        tenant: whose worker, limits and usage apply.
        role: `admin` may operate the server; it gives no right to any model.
        models: model names granted, or `EVERY_MODEL`.
        expires_at: Unix time in seconds at which the key ends; None for never.
    """

    key_id: int
    key_prefix: str
    tenant: TenantName
    role: Role
    models: frozenset[str]
    expires_at: int | None = None

    def may_use(self, model: str) -> bool:
        """Return whether the tenant was granted `model`; says nothing about its existence."""
        return model in self.models or EVERY_MODEL in self.models
