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
from corral.gateway.errors import INTERNAL, METHOD_NOT_ALLOWED, NOT_FOUND, ApiError
from corral.gateway.exchange import Exchange, StalledClientError
from corral.gateway.pipeline import Pipeline, Services
from corral.gateway.routes.admin import Host
from corral.gateway.routes.health import Health, Ready
from corral.gateway.routes.models import ModelDetail, ModelList
from corral.telemetry.log import get_logger

_log: Final = get_logger("gateway.app")


def build_app(services: Services, *, ready: Callable[[], bool]) -> ASGIApp:
    """Return the application.

    Args:
        services: what the pipeline works with.
        ready: says whether requests are taken, for /readyz.
    """
    routes = [
        _route("/v1/chat/completions", Pipeline(CHAT, services), "POST"),
        _route("/v1/completions", Pipeline(COMPLETION, services), "POST"),
        _route("/v1/models", ModelList(services), "GET"),
        _route("/v1/models/{model}", ModelDetail(services), "GET"),
        _route("/admin/v1/host", Host(services), "GET"),
        _route("/healthz", Health(services.keyring, services.degraded), "GET"),
        _route("/readyz", Ready(lambda: ready() and services.ledger.healthy), "GET"),
    ]
    router = Router(routes=routes, redirect_slashes=False, default=_Refuse(NOT_FOUND))
    return _Boundary(router)


def _route(path: str, endpoint: ASGIApp, method: str) -> Route:
    return Route(path, _ByMethod(endpoint, method))


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
