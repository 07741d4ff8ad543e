"""Who may do what: one table from permission to roles and kinds of credential.

Trust: gateway [net] and operator side. What is not in the table is denied: an unknown permission,
role or kind of credential never raises and never passes. A key may have fewer rights than its role
(`Principal.scopes`), never more.

A permission is `resource:action`. Models are apart from it: which ones a tenant may use is granted
(`tenancy.grants`), and no role, the operator's least of all, gives a right to any.

Rights over everybody's data or the machine are the operator's; the auditor reads what was done by
all and changes nothing; a tenant-admin looks after the own tenant's keys and shares its models; a
user computes. What cannot be undone is not for OIDC: an identity provider elsewhere, or whoever
took it over, must not be able to erase a tenant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, get_args

Role = Literal["operator", "tenant-admin", "user", "auditor"]
CredentialKind = Literal["api-key", "oidc", "mtls"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)


class Permission(StrEnum):
    """Everything that can be allowed."""

    COMPLETION_CREATE = "completion:create"
    COMPLETION_READ = "completion:read"
    COMPLETION_DELETE = "completion:delete"
    MODEL_LIST = "model:list"
    MODEL_SHARE = "model:share"
    KEY_CREATE = "key:create"
    KEY_LIST = "key:list"
    KEY_ROTATE = "key:rotate"
    KEY_REVOKE = "key:revoke"
    TENANT_ADD = "tenant:add"
    TENANT_LIST = "tenant:list"
    TENANT_SHOW = "tenant:show"
    TENANT_FREEZE = "tenant:freeze"
    TENANT_THAW = "tenant:thaw"
    TENANT_WIPE = "tenant:wipe"
    TENANT_REMOVE = "tenant:remove"
    GRANT_LIST = "grant:list"
    GRANT_CHANGE = "grant:change"
    QUOTA_SHOW = "quota:show"
    QUOTA_SET = "quota:set"
    USAGE_READ = "usage:read"
    USAGE_READ_ALL = "usage:read-all"
    AUDIT_READ = "audit:read"
    HOST_READ = "host:read"
    METRICS_READ = "metrics:read"
    SANITATION_READ = "sanitation:read"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who has one permission: a role of `roles` that came with a credential of `credentials`."""

    roles: frozenset[str]
    credentials: frozenset[str]


def _rule(*roles: Role, credentials: tuple[CredentialKind, ...] = get_args(CredentialKind)) -> Rule:
    return Rule(frozenset(roles), frozenset(credentials))


_NOT_BY_OIDC: Final[tuple[CredentialKind, ...]] = ("api-key", "mtls")

RULES: Final[Mapping[str, Rule]] = MappingProxyType({
    Permission.COMPLETION_CREATE: _rule("operator", "tenant-admin", "user"),
    Permission.COMPLETION_READ: _rule("operator", "tenant-admin", "user"),
    Permission.COMPLETION_DELETE: _rule("operator", "tenant-admin", "user"),
    Permission.MODEL_LIST: _rule("operator", "tenant-admin", "user"),
    Permission.MODEL_SHARE: _rule("operator", "tenant-admin"),
    Permission.KEY_CREATE: _rule("operator", "tenant-admin"),
    Permission.KEY_LIST: _rule("operator", "tenant-admin", "auditor"),
    Permission.KEY_ROTATE: _rule("operator", "tenant-admin"),
    Permission.KEY_REVOKE: _rule("operator", "tenant-admin"),
    Permission.TENANT_ADD: _rule("operator"),
    Permission.TENANT_LIST: _rule("operator", "auditor"),
    Permission.TENANT_SHOW: _rule("operator", "auditor"),
    Permission.TENANT_FREEZE: _rule("operator"),
    Permission.TENANT_THAW: _rule("operator"),
    Permission.TENANT_WIPE: _rule("operator", credentials=_NOT_BY_OIDC),
    Permission.TENANT_REMOVE: _rule("operator", credentials=_NOT_BY_OIDC),
    Permission.GRANT_LIST: _rule("operator", "tenant-admin", "auditor"),
    Permission.GRANT_CHANGE: _rule("operator"),
    Permission.QUOTA_SHOW: _rule("operator", "tenant-admin", "auditor"),
    Permission.QUOTA_SET: _rule("operator"),
    Permission.USAGE_READ: _rule("operator", "tenant-admin", "user", "auditor"),
    Permission.USAGE_READ_ALL: _rule("operator", "auditor"),
    Permission.AUDIT_READ: _rule("operator", "auditor"),
    Permission.HOST_READ: _rule("operator"),
    Permission.METRICS_READ: _rule("operator", "auditor"),
    Permission.SANITATION_READ: _rule("operator", "tenant-admin"),
})  # fmt: skip


OUTLASTING: Final = frozenset({
    Permission.COMPLETION_DELETE,
    Permission.MODEL_SHARE,
    Permission.KEY_CREATE,
    Permission.KEY_ROTATE,
    Permission.KEY_REVOKE,
    Permission.TENANT_ADD,
    Permission.TENANT_FREEZE,
    Permission.TENANT_THAW,
    Permission.TENANT_WIPE,
    Permission.TENANT_REMOVE,
    Permission.GRANT_CHANGE,
    Permission.QUOTA_SET,
})  # fmt: skip
"""What goes on after the credential that did it has ended, answers aside. Not for a secret that was
replaced: one that leaked could give itself a successor, or end the new one, before its own end."""


def permitted(role: str, credential: str, permission: str) -> bool:
    """Return whether a role that came with a kind of credential has a permission."""
    rule = RULES.get(permission)
    return rule is not None and role in rule.roles and credential in rule.credentials


def permissions_of(role: str) -> frozenset[Permission]:
    """Return what a role may do with a credential of the right kind."""
    return frozenset(one for one in Permission if role in RULES[one].roles)
