"""GET /healthz and /readyz: yes or no, for anybody; no detail.

Trust: gateway [net].
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from corral.gateway.exchange import Exchange


class Health:
    """Answers 200 while `good` says so, else 503."""

    def __init__(self, good: Callable[[], bool]) -> None:
        self._good = good

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one probe."""
        exchange = Exchange(scope, receive, send)
        if self._good():
            await exchange.answer(200, b'{"status":"ok"}')
        else:
            await exchange.answer(503, b'{"status":"unavailable"}')
