"""GET /metrics: the server's own counts, for operator and auditor.

Trust: gateway [net]. Input: hostile requests. No tenant, key, model or text is on the page, but the
counts of all tenants together tell a stranger what the others do: nobody else reads it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from starlette.types import Receive, Scope, Send

from corral.core.errors import CorralError
from corral.gateway.exchange import Exchange
from corral.gateway.metrics_page import CONTENT_TYPE, Facts, load_library, render_page
from corral.gateway.pipeline import Services

_HEADERS: Final = ((b"content-type", CONTENT_TYPE), (b"cache-control", b"no-store"))


class MetricsPage:
    """The page of `gateway.metrics_page`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        services = self._services
        services.ledger.touch(exchange.principal.key_id)
        facts = Facts(
            workers=Counter(one.state for one in services.router.supervisors()),
            memory=await self._memory(),
            usage_healthy=services.ledger.healthy,
            usage_dropped=services.ledger.dropped,
            degraded=services.degraded,
            traces_dropped=services.tracing.dropped if services.tracing else {},
        )
        await asyncio.to_thread(load_library)
        await exchange.send_whole(200, render_page(services.metrics, facts), _HEADERS)

    async def _memory(self) -> tuple[tuple[str, int], ...] | None:
        try:
            return tuple((one.kind, one.rss_bytes) for one in await self._services.router.jails())
        except CorralError:
            return None
