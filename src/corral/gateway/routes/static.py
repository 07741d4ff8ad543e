"""What is the same for everybody and at all times: made once, sent as it is.

Trust: gateway [net]. Input: hostile requests, of which nothing is looked at.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from corral.gateway.exchange import Exchange


class Static:
    """Answers with one body.

    Args:
        make: returns it whole; called when it is first asked for, so that no start waits for it.
        media: its type.
        headers: more of them.
    """

    def __init__(
        self,
        make: Callable[[], bytes],
        media: bytes,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        self._make = make
        self._body: bytes | None = None
        self._headers = ((b"content-type", media), *headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._body is None:
            self._body = self._make()
        await Exchange(scope, receive, send).send_whole(200, self._body, self._headers)
