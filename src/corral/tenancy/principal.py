"""Who makes a request: the outcome of authentication, and what it may do and use.

Trust: gateway [net]. Made only by `tenancy.keyring` and its neighbours for other credentials; never
made from anything a request says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from corral.core.ids import TenantName
from corral.tenancy.permissions import CredentialKind, Permission, Role, permitted

EVERY_MODEL: Final = "*"
"""A grant of this name covers every admitted model, present and future."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated credential with its tenant's grants.

    Attributes:
        key_id: for usage records and limits (`tenancy.holder`).
        key_prefix: public part of the credential, fit for logs.
        tenant: whose worker, limits and usage apply.
        role: what it may do; it gives no right to any model.
        models: model names granted to the tenant, or `EVERY_MODEL`.
        expires_at: Unix time in seconds at which the credential ends; None for never.
        credential: how it was proved.
        scopes: the only permissions it may use of its role's; None for all of them.
        only_models: the only models it may use of its tenant's; None for all of them.
    """

    key_id: int
    key_prefix: str
    tenant: TenantName
    role: Role
    models: frozenset[str]
    expires_at: int | None = None
    credential: CredentialKind = "api-key"
    scopes: frozenset[str] | None = None
    only_models: frozenset[str] | None = None

    def may(self, permission: Permission) -> bool:
        """Return whether it has a permission: by its role, its kind and its own scopes."""
        if self.scopes is not None and permission not in self.scopes:
            return False
        return permitted(self.role, self.credential, permission)

    def bounded_by(self, other: Principal) -> Principal:
        """Return who brings this credential and another of its tenant: it may what both may."""
        both = frozenset(str(one) for one in Permission if self.may(one) and other.may(one))
        ends = [one.expires_at for one in (self, other) if one.expires_at is not None]
        return replace(self, scopes=both, expires_at=min(ends, default=None))

    def may_use(self, model: str) -> bool:
        """Return whether it was granted `model`; says nothing about its existence."""
        if self.only_models is not None and model not in self.only_models:
            return False
        return model in self.models or EVERY_MODEL in self.models
