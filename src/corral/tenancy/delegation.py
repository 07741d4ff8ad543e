"""What one credential may give to another: never more than it has itself.

Trust: gateway [net]; pure. Input: an authenticated principal, and a key as it is asked for over
HTTP or stands in the table.

A key that somebody made, or gave a new secret, is in that person's hands. So over HTTP a key is
made or rotated only by a credential that

    reaches its tenant: an operator reaches all, everybody else the own one
    may itself do all that the key may do
    is not narrowed to models that the key is not narrowed to
    does not end before the key does

and keys that see beyond their tenant (operator, auditor) are made on the server's machine alone:
whoever got hold of an operator's key must not be able to make one that outlives its revocation.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from corral.core.errors import CorralError
from corral.tenancy.permissions import permissions_of
from corral.tenancy.principal import Principal

_BEYOND_TENANTS: Final = frozenset({"operator", "auditor"})


def reaches(actor: Principal, tenant: str) -> bool:
    """Return whether a credential may look at, or look after, what belongs to a tenant.

    Which of it, and how, its permissions say.
    """
    return actor.role in _BEYOND_TENANTS or actor.tenant == tenant


def reach(actor: Principal, asked: str = "") -> str | None:
    """Return the tenant to which a request is confined; None for all of them.

    Args:
        actor: whose request it is.
        asked: the only tenant that it asks for; empty for all that it reaches.

    Raises:
        CorralError: code `no_such_tenant`: it does not reach that one; whether there is one of that
            name is not looked up.
    """
    if actor.role in _BEYOND_TENANTS:
        return asked or None
    if asked and asked != actor.tenant:
        raise CorralError("no_such_tenant", "there is no such tenant")
    return actor.tenant


def check_delegation(
    actor: Principal,
    *,
    tenant: str,
    role: str,
    scopes: Collection[str] | None,
    models: Collection[str] | None,
    expires_at: datetime | None,
) -> None:
    """Return if `actor` may have a key of these rights in its hands.

    Args:
        actor: who makes or rotates it.
        tenant: whose key it is.
        role: of the key.
        scopes: the only permissions of its role that it has; None for all of them.
        models: the only models of its tenant that it may use; None for all of them.
        expires_at: aware moment; None for never.

    Raises:
        CorralError: codes `no_such_tenant`, `beyond_own_rights`.
    """
    if not reaches(actor, tenant):
        raise CorralError("no_such_tenant", "there is no such tenant")
    check_reach_of_role(actor, role)
    of_role = permissions_of(role)
    has = of_role if scopes is None else [one for one in of_role if one in scopes]
    if not all(actor.may(permission) for permission in has):
        raise _beyond("a key cannot do what this credential cannot do")
    if actor.only_models is not None and (models is None or set(models) - actor.only_models):
        raise _beyond("a key cannot use models that this credential cannot use")
    if actor.expires_at is not None and (
        expires_at is None or int(expires_at.timestamp()) > actor.expires_at
    ):
        raise _beyond("a key cannot outlive the credential that makes it")


def check_reach_of_role(actor: Principal, role: str, *, ending: bool = False) -> None:
    """Return if `actor` may make, rotate or end keys of this role over HTTP.

    Args:
        actor: whose request it is.
        role: of the key.
        ending: it is to end: an operator may end whatever there is, but not by OIDC, since it
            cannot be undone.

    Raises:
        CorralError: code `beyond_own_rights`.
    """
    may_end = ending and actor.role == "operator" and actor.credential != "oidc"
    if role in _BEYOND_TENANTS and not may_end:
        raise _beyond("keys that see beyond their tenant are looked after on the server's machine")


def _beyond(message: str) -> CorralError:
    return CorralError("beyond_own_rights", message)
