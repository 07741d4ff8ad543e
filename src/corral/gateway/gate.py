"""The gate before every address that is not for strangers: who is it, and may it do this?

Trust: gateway [net]. Input: hostile requests. Which permission an address needs stands in the table
of `gateway.app`; what a permission takes stands in `tenancy.permissions`. A refused request's body
is not read, so that strangers cannot fill memory with it. What changes something is in the audit
log before it does.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from corral.core.ids import TenantName
from corral.gateway.call import Change
from corral.gateway.errors import (
    AUDIT_UNAVAILABLE,
    CROSS_SITE,
    PERMISSION_DENIED,
    TOO_MANY_CONNECTIONS,
    UNAUTHENTICATED,
    ApiError,
)
from corral.gateway.exchange import Exchange
from corral.gateway.pipeline import Pipeline, Services
from corral.tenancy.permissions import Permission


class Gate:
    """Lets a request through to `endpoint`, with its principal, if that has `permission`."""

    def __init__(self, endpoint: ASGIApp, permission: Permission, services: Services) -> None:
        self._endpoint = endpoint
        self._permission = permission
        self._services = services
        self._aside = not isinstance(endpoint, Pipeline)  # which has its own limits
        # These begin their own record, when they know what it is about.
        self._begins = not isinstance(endpoint, Pipeline | Change)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        exchange = Exchange(scope, receive, send)
        unread = scope["method"] != "GET"
        principal = self._services.keyring.identify(exchange.credential)
        if principal is None:
            # A certificate that is no good stays so: its connection is of no use.
            shown = exchange.credential.certificate is not None
            await exchange.refuse(UNAUTHENTICATED, close=unread or shown)
            return
        exchange.trail.by(principal)
        exchange.timeline.by(principal.tenant, principal.key_prefix)
        if not principal.may(self._permission):
            await exchange.refuse(PERMISSION_DENIED, close=unread)
        elif not exchange.introduce(principal.tenant):
            await exchange.refuse(TOO_MANY_CONNECTIONS, close=True)
        elif unread and exchange.credential.certificate is not None and exchange.cross_site:
            # A browser shows its certificate whoever made the page; a key it does not know.
            await exchange.refuse(CROSS_SITE, close=True)
        elif self._aside and (over := self._pace(principal.tenant)):
            await exchange.refuse(over, close=unread)
        elif unread and self._begins and not await self._begun(exchange, scope):
            await exchange.refuse(AUDIT_UNAVAILABLE, close=unread)
        else:
            exchange.principal = principal
            await self._endpoint(scope, receive, send)

    def _pace(self, tenant: TenantName) -> ApiError | None:
        return self._services.side_pace.refusal(tenant, self._permission)

    @staticmethod
    async def _begun(exchange: Exchange, scope: Scope) -> bool:
        """Have it on the disk that something is about to be changed, before it is."""
        named = {str(name): str(value) for name, value in scope.get("path_params", {}).items()}
        exchange.trail.on({"method": scope["method"], **named})
        exchange.trail.begin()
        return await exchange.trail.durable()
