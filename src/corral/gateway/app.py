"""The ASGI application: which address leads where.

Trust: gateway [net]. Input: hostile requests. Whatever no route takes, and whatever goes wrong,
is answered in OpenAI's error shape without insides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from corral.gateway.dialect import CHAT, COMPLETION
from corral.gateway.errors import (
    INTERNAL,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    READER_TOO_SLOW,
    ApiError,
)
from corral.gateway.exchange import OUTCOME, Exchange, StalledClientError
from corral.gateway.pipeline import Pipeline, Services
from corral.gateway.routes.admin import Host
from corral.gateway.routes.health import Health, Ready
from corral.gateway.routes.metrics import MetricsPage
from corral.gateway.routes.models import ModelDetail, ModelList
from corral.telemetry.log import get_logger
from corral.telemetry.metrics import Metrics

_log: Final = get_logger("gateway.app")


def build_app(services: Services, *, ready: Callable[[], bool]) -> ASGIApp:
    """Return the application.

    Args:
        services: what the pipeline works with.
        ready: says whether requests are taken, for /readyz.
    """
    metrics = services.metrics

    def route(path: str, name: str, endpoint: ASGIApp, method: str) -> Route:
        return Route(path, _Counted(name, _ByMethod(endpoint, method), metrics))

    routes = [
        route("/v1/chat/completions", "chat", Pipeline(CHAT, services), "POST"),
        route("/v1/completions", "completions", Pipeline(COMPLETION, services), "POST"),
        route("/v1/models", "models", ModelList(services), "GET"),
        route("/v1/models/{model}", "model", ModelDetail(services), "GET"),
        route("/admin/v1/host", "host", Host(services), "GET"),
        route("/healthz", "healthz", Health(services.keyring, services.degraded), "GET"),
        route("/readyz", "readyz", Ready(lambda: ready() and services.ledger.healthy), "GET"),
        route("/metrics", "metrics", MetricsPage(services), "GET"),
    ]
    nothing = _Counted("other", _Refuse(NOT_FOUND), metrics)
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
    """Lets one method through."""

    def __init__(self, endpoint: ASGIApp, method: str) -> None:
        self._endpoint = endpoint
        self._method = method

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == self._method:
            await self._endpoint(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        error = METHOD_NOT_ALLOWED
        exchange.outcome = error.code
        await exchange.answer(405, error.body(), [(b"allow", self._method.encode())])


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
