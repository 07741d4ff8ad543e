"""GET /admin/v1/workers: what is known of every engine worker, for the operator only.

Trust: gateway [net]. Input: hostile requests. Names of tenants and models are in the answer, and no
text of theirs.
"""

from __future__ import annotations

import msgspec
from starlette.types import Receive, Scope, Send

from corral.gateway.exchange import Exchange
from corral.gateway.pipeline import Services


class Workers:
    """The facts of `engine.watchdog`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        self._services.ledger.touch(exchange.principal.key_id)
        body = msgspec.json.encode({"workers": await self._services.router.facts()})
        await exchange.answer(200, body, [(b"cache-control", b"no-store")])
