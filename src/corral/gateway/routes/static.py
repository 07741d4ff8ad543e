"""What is the same for everybody and at all times: made at the start, sent as it is.

Trust: gateway [net]. Input: hostile requests, of which nothing is looked at.
"""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from corral.gateway.exchange import Exchange


class Static:
    """Answers with one body.

    Args:
        body: whole.
        media: its type.
        headers: more of them.
    """

    def __init__(
        self, body: bytes, media: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        self._body = body
        self._headers = ((b"content-type", media), *headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await Exchange(scope, receive, send).send_whole(200, self._body, self._headers)
