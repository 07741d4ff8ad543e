"""GET /admin/v1/host and /admin/v1/queue: what the server knows of its host, and who waits.

Trust: gateway [net]. Input: hostile requests. For keys of the operator only; no file, key or text
of a tenant is in the answers.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.types import Receive, Scope, Send

from corral.gateway.errors import HOST_REPORT_UNAVAILABLE
from corral.gateway.exchange import Exchange
from corral.gateway.pipeline import Services


class Admin:
    """Answers keys of the operator with one document.

    Args:
        services: what the pipeline works with.
        document: returns it; None if there is none.
    """

    def __init__(self, services: Services, document: Callable[[Services], object | None]) -> None:
        self._services = services
        self._document = document

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        self._services.ledger.touch(exchange.principal.key_id)
        document = self._document(self._services)
        if document is None:
            await exchange.refuse(HOST_REPORT_UNAVAILABLE)
        else:
            body = msgspec.json.encode(document)
            await exchange.answer(200, body, [(b"cache-control", b"no-store")])


def host(services: Services) -> object | None:
    """Return the document of `corral doctor --json`, as of the server's start."""
    return services.host


def queue(services: Services) -> object:
    """Return who runs and waits among all tenants, with positions and estimated waits."""
    return services.fair.document()
