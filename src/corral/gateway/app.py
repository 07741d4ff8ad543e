"""The ASGI application: which address leads where, and what a credential needs for it.

Trust: gateway [net]. Input: hostile requests. Whatever no route takes, and whatever goes wrong,
is answered in OpenAI's error shape without insides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

import msgspec
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from corral.audit.pace import RefusalPace
from corral.gateway.audited import Audited
from corral.gateway.call import Call, Change, Lookup, Nothing
from corral.gateway.dialect import CHAT, COMPLETION
from corral.gateway.errors import (
    INTERNAL,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    READER_TOO_SLOW,
    ApiError,
)
from corral.gateway.exchange import OUTCOME, Exchange, StalledClientError
from corral.gateway.gate import Gate
from corral.gateway.openapi import PAGE_HEADERS, describe, page
from corral.gateway.pipeline import Pipeline, Services
from corral.gateway.routes.admin import Admin, host, queue
from corral.gateway.routes.audit import AuditQuery, audit_page
from corral.gateway.routes.grants import GrantQuery, grant_add, grant_list, grant_revoke
from corral.gateway.routes.health import Health, Ready
from corral.gateway.routes.keys import (
    KeyQuery,
    NewKey,
    Overlap,
    key_create,
    key_list,
    key_revoke,
    key_rotate,
)
from corral.gateway.routes.metrics import MetricsPage
from corral.gateway.routes.models import ModelDetail, ModelList
from corral.gateway.routes.quotas import QuotaChange, QuotaQuery, quota_change, quota_list
from corral.gateway.routes.shares import ShareAccept, ShareEnd, ShareList, ShareOffer
from corral.gateway.routes.static import Static
from corral.gateway.routes.stored import StoredDelete, StoredList, StoredMessages, StoredOne
from corral.gateway.routes.tenants import (
    Confirmation,
    NewTenant,
    Removal,
    tenant_add,
    tenant_freeze,
    tenant_list,
    tenant_remove,
    tenant_sheet,
    tenant_thaw,
    tenant_wipe,
)
from corral.gateway.routes.usage import UsageQuery, usage_list
from corral.gateway.routes.workers import Workers
from corral.telemetry.log import get_logger
from corral.telemetry.metrics import Metrics
from corral.tenancy.permissions import Permission

_log: Final = get_logger("gateway.app")
_Asked = TypeVar("_Asked", bound=msgspec.Struct)


class Strangers(Enum):
    """Said of an address that takes no credential: it must be said, it is never left out."""

    WELCOME = "welcome"


STRANGERS: Final = Strangers.WELCOME


@dataclass(frozen=True, slots=True)
class Address:
    """One entry of the route table.

    Attributes:
        name: the route's in the metrics.
        permission: what a credential must have; `STRANGERS` lets anybody in.
        make: returns the endpoint; the second argument says whether requests are taken.
    """

    method: str
    path: str
    name: str
    permission: Permission | Strangers
    make: Callable[[Services, Callable[[], bool]], ASGIApp]

    @property
    def needs(self) -> Permission | None:
        """Return the permission, or None if anybody is let in."""
        return None if isinstance(self.permission, Strangers) else self.permission


def _lookup(
    path: str, name: str, permission: Permission, kind: type[_Asked],
    find: Callable[[Call[_Asked]], object],
) -> Address:  # fmt: skip
    return Address("GET", path, name, permission, lambda services, _: Lookup(services, kind, find))


def _change(
    method: str, path: str, name: str, permission: Permission, kind: type[_Asked],
    make: Callable[[Call[_Asked]], Awaitable[object]], *, status: int = 200,
) -> Address:  # fmt: skip
    return Address(
        method, path, name, permission,
        lambda services, _: Change(services, permission, kind, make, status=status),
    )  # fmt: skip


ADDRESSES: Final[tuple[Address, ...]] = (
    Address("POST", "/v1/chat/completions", "chat", Permission.COMPLETION_CREATE,
            lambda services, _: Pipeline(CHAT, services)),
    Address("GET", "/v1/chat/completions", "chat", Permission.COMPLETION_READ,
            lambda services, _: StoredList(services)),
    Address("GET", "/v1/chat/completions/{completion}", "stored", Permission.COMPLETION_READ,
            lambda services, _: StoredOne(services)),
    Address("DELETE", "/v1/chat/completions/{completion}", "stored", Permission.COMPLETION_DELETE,
            lambda services, _: StoredDelete(services)),
    Address("GET", "/v1/chat/completions/{completion}/messages", "stored_messages",
            Permission.COMPLETION_READ, lambda services, _: StoredMessages(services)),
    Address("POST", "/v1/completions", "completions", Permission.COMPLETION_CREATE,
            lambda services, _: Pipeline(COMPLETION, services)),
    Address("GET", "/v1/models", "models", Permission.MODEL_LIST,
            lambda services, _: ModelList(services)),
    Address("GET", "/v1/models/{model}", "model", Permission.MODEL_LIST,
            lambda services, _: ModelDetail(services)),
    Address("GET", "/admin/v1/shares", "shares", Permission.MODEL_SHARE,
            lambda services, _: ShareList(services)),
    Address("POST", "/admin/v1/shares", "shares", Permission.MODEL_SHARE,
            lambda services, _: ShareOffer(services)),
    Address("POST", "/admin/v1/shares/{share}/accept", "share_accept", Permission.MODEL_SHARE,
            lambda services, _: ShareAccept(services)),
    Address("DELETE", "/admin/v1/shares/{share}", "share", Permission.MODEL_SHARE,
            lambda services, _: ShareEnd(services)),
    _lookup("/admin/v1/tenants", "tenants", Permission.TENANT_LIST, Nothing, tenant_list),
    _change("POST", "/admin/v1/tenants", "tenants", Permission.TENANT_ADD, NewTenant, tenant_add,
            status=201),
    _lookup("/admin/v1/tenants/{tenant}", "tenant", Permission.TENANT_SHOW, Nothing, tenant_sheet),
    _change("DELETE", "/admin/v1/tenants/{tenant}", "tenant", Permission.TENANT_REMOVE, Removal,
            tenant_remove),
    _change("POST", "/admin/v1/tenants/{tenant}/freeze", "tenant_freeze", Permission.TENANT_FREEZE,
            Nothing, tenant_freeze),
    _change("POST", "/admin/v1/tenants/{tenant}/thaw", "tenant_thaw", Permission.TENANT_THAW,
            Nothing, tenant_thaw),
    _change("POST", "/admin/v1/tenants/{tenant}/wipe", "tenant_wipe", Permission.TENANT_WIPE,
            Confirmation, tenant_wipe),
    _change("PUT", "/admin/v1/tenants/{tenant}/grants/{model}", "grant", Permission.GRANT_CHANGE,
            Nothing, grant_add),
    _change("DELETE", "/admin/v1/tenants/{tenant}/grants/{model}", "grant",
            Permission.GRANT_CHANGE, Nothing, grant_revoke),
    _lookup("/admin/v1/grants", "grants", Permission.GRANT_LIST, GrantQuery, grant_list),
    _lookup("/admin/v1/keys", "keys", Permission.KEY_LIST, KeyQuery, key_list),
    _change("POST", "/admin/v1/keys", "keys", Permission.KEY_CREATE, NewKey, key_create,
            status=201),
    _change("DELETE", "/admin/v1/keys/{key}", "key", Permission.KEY_REVOKE, Nothing, key_revoke),
    _change("POST", "/admin/v1/keys/{key}/rotate", "key_rotate", Permission.KEY_ROTATE, Overlap,
            key_rotate),
    _lookup("/admin/v1/quotas", "quotas", Permission.QUOTA_SHOW, QuotaQuery, quota_list),
    _change("POST", "/admin/v1/quotas", "quotas", Permission.QUOTA_SET, QuotaChange, quota_change),
    _lookup("/admin/v1/usage", "usage", Permission.USAGE_READ, UsageQuery, usage_list),
    _lookup("/admin/v1/audit", "audit", Permission.AUDIT_READ, AuditQuery, audit_page),
    Address("GET", "/admin/v1/host", "host", Permission.HOST_READ,
            lambda services, _: Admin(services, host)),
    Address("GET", "/admin/v1/queue", "queue", Permission.HOST_READ,
            lambda services, _: Admin(services, queue)),
    Address("GET", "/admin/v1/workers", "workers", Permission.HOST_READ,
            lambda services, _: Workers(services)),
    Address("GET", "/admin/v1/openapi.json", "openapi", STRANGERS,
            lambda _, __: Static(
                lambda: msgspec.json.encode(describe(ADDRESSES)), b"application/json")),
    Address("GET", "/admin/v1/docs", "openapi", STRANGERS,
            lambda _, __: Static(lambda: page(describe(ADDRESSES)), b"text/html; charset=utf-8",
                                 PAGE_HEADERS)),
    Address("GET", "/metrics", "metrics", Permission.METRICS_READ,
            lambda services, _: MetricsPage(services)),
    Address("GET", "/healthz", "healthz", STRANGERS,
            lambda services, _: Health(
                services.keyring, services.degraded, lambda: services.sanitation.detector.state)),
    Address("GET", "/readyz", "readyz", STRANGERS,
            lambda services, ready: Ready(
                lambda: ready() and services.ledger.healthy and services.audit.healthy)),
)  # fmt: skip
"""Every address that there is, and the permission that it takes. Nothing else is answered."""


def build_app(services: Services, *, ready: Callable[[], bool]) -> ASGIApp:
    """Return the application.

    Args:
        services: what the pipeline works with.
        ready: says whether requests are taken, for /readyz.
    """
    methods: dict[tuple[str, str], dict[str, ASGIApp]] = {}
    pace = RefusalPace()
    for address in ADDRESSES:
        endpoint = address.make(services, ready)
        if address.permission is not STRANGERS:
            gate = Gate(endpoint, address.permission, services)
            endpoint = Audited(gate, address.permission, services.audit, pace)
        methods.setdefault((address.path, address.name), {})[address.method] = endpoint
    gated = {address.path for address in ADDRESSES if address.permission is not STRANGERS}
    routes = []
    for (path, name), endpoints in methods.items():
        counted: ASGIApp = _Counted(name, _ByMethod(endpoints), services.metrics)
        if path in gated and services.tracing is not None:
            counted = services.tracing.around(counted, path)
        routes.append(Route(path, counted))
    nothing = _Counted("other", _Refuse(NOT_FOUND), services.metrics)
    router = Router(routes=routes, redirect_slashes=False, default=nothing)
    return _Boundary(router)


class _Counted:
    """Counts each request by its route and outcome."""

    def __init__(self, name: str, endpoint: ASGIApp, metrics: Metrics) -> None:
        self._name = name
        self._endpoint = endpoint
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._endpoint(scope, receive, send)
        except StalledClientError:
            scope[OUTCOME] = READER_TOO_SLOW.code
            raise
        except Exception:
            scope[OUTCOME] = INTERNAL.code
            raise
        finally:
            self._metrics.requests.add(self._name, scope.get(OUTCOME, "ok"))


class _ByMethod:
    """Lets the methods of an address through."""

    def __init__(self, endpoints: dict[str, ASGIApp]) -> None:
        self._endpoints = endpoints
        self._allow = ", ".join(endpoints).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(scope["method"])
        if endpoint is not None:
            await endpoint(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        error = METHOD_NOT_ALLOWED
        exchange.outcome = error.code
        await exchange.answer(405, error.body(), [(b"allow", self._allow)])


class _Refuse:
    """Answers everything with one refusal."""

    def __init__(self, error: ApiError) -> None:
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Exchange(scope, receive, send).refuse(self._error)


class _Boundary:
    """Turns any error into a 500 without insides; the log gets its type and place only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except StalledClientError:
            _log.warning("client_stalled")
            raise _CutOffError from None
        except Exception:
            exchange = Exchange(scope, receive, send)
            _log.exception("request_failed", request_id=exchange.request_id)
            if started:
                raise _CutOffError from None  # the connection is closed: the caller sees a cut
            await exchange.refuse(INTERNAL)


class _CutOffError(Exception):
    """The response had begun and cannot be finished."""
