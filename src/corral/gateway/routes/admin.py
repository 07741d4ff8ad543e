"""GET /admin/v1/host: what this server knows of its host, for the operator only.

Trust: gateway [net]. Input: hostile requests. No file, key or text of a tenant is in the answer.
"""

from __future__ import annotations

import msgspec
from starlette.types import Receive, Scope, Send

from corral.gateway.errors import HOST_REPORT_UNAVAILABLE
from corral.gateway.exchange import Exchange
from corral.gateway.pipeline import Services


class Host:
    """The document of `corral doctor --json`, as of the server's start."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        self._services.ledger.touch(exchange.principal.key_id)
        if self._services.host is None:
            await exchange.refuse(HOST_REPORT_UNAVAILABLE)
        else:
            body = msgspec.json.encode(self._services.host)
            await exchange.answer(200, body, [(b"cache-control", b"no-store")])
