"""One HTTP request and its response, over ASGI.

Trust: gateway [net]. Input: a hostile client; headers were bounded by `http_guard`, the body is
bounded here again.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Final, cast

from starlette.types import Receive, Scope, Send

from corral.core.ids import TenantName
from corral.gateway.errors import ApiError
from corral.gateway.trail import Trail
from corral.telemetry.timeline import UNTRACED, Timeline
from corral.tenancy.certificate import Credential
from corral.tenancy.principal import Principal

TRAIL: Final = "corral.trail"
"""Where a scope has its request's `Trail`."""
TIMELINE: Final = "corral.timeline"
"""Where a scope has its request's `Timeline`, if that leaves a trace."""
_REQUEST_ID: Final = "corral.request_id"
_JSON: Final = (b"content-type", b"application/json")
_EVENT_STREAM: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


VISIT: Final = "corral.visit"
"""Key of an ASGI scope: the connection's place, see `gateway.room`."""
_SLOW_S: Final = 10.0
"""So long in all a stream may have waited for its client before its rate is looked at."""
OUTCOME: Final = "corral.outcome"
"""Key of an ASGI scope: how its request ended."""
_PRINCIPAL: Final = "corral.principal"
"""Key of an ASGI scope: whose request it is."""
WRITE_IDLE_S: Final = 10.0
"""How long a stream waits for a client that does not read, before it is given up."""


class StalledClientError(Exception):
    """The client does not read its stream; the connection is of no more use."""


class Exchange:
    """Reads the request, writes the response.

    Args:
        least_rate: bytes per second that a client reads of a stream at least; 0 for any.

    Attributes:
        request_id: names the request in the log and in `x-request-id`; always our own.
        started: the response's status has been sent.
        gone: the client has gone.
        told: headers that go with whatever answer.
        ended: why the server itself ended the request before its answer was whole.
        started_s: when it came, by the monotonic clock.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, least_rate: int = 0) -> None:
        if _REQUEST_ID not in scope:
            scope[_REQUEST_ID] = f"req_{secrets.token_hex(12)}"
        self.request_id: str = scope[_REQUEST_ID]
        self.started = False
        self.gone = False
        self.ended: ApiError | None = None
        self.started_s = time.monotonic()
        self.told: tuple[tuple[bytes, bytes], ...] = ()
        self._scope = scope
        self._receive = receive
        self._send = send
        self._least_rate = least_rate
        self._sent_bytes = 0
        self._waited_s = 0.0
        self._streaming_s = 0.0

    @property
    def outcome(self) -> str:
        """`ok`, `cancelled` or an error's code, for the counts of /metrics."""
        return str(self._scope.get(OUTCOME, "ok"))

    @outcome.setter
    def outcome(self, code: str) -> None:
        self._scope[OUTCOME] = code

    @property
    def principal(self) -> Principal:
        """Who the gate has let through with this request.

        Raises:
            KeyError: nobody; the address has no gate.
        """
        return cast("Principal", self._scope[_PRINCIPAL])

    @principal.setter
    def principal(self, principal: Principal) -> None:
        self._scope[_PRINCIPAL] = principal

    def introduce(self, tenant: TenantName) -> bool:
        """Tell the connection whose live key came; False if that tenant has too many of them."""
        visit = self._scope.get(VISIT)
        return visit is None or bool(visit.introduce(tenant))

    @property
    def trail(self) -> Trail:
        """What this request leaves in the audit log; protected routes have one."""
        trail: Trail = self._scope[TRAIL]
        return trail

    @property
    def timeline(self) -> Timeline:
        """What this request does when; takes everything and keeps nothing if it is not traced."""
        timeline: Timeline = self._scope.get(TIMELINE, UNTRACED)
        return timeline

    def bearer_token(self) -> str:
        """Return the token of the `Authorization` header; empty if there is not exactly one."""
        values = [value for name, value in self._scope["headers"] if name == b"authorization"]
        if len(values) != 1:
            return ""
        scheme, _, token = values[0].partition(b" ")
        if scheme.lower() != b"bearer" or not token.isascii():
            return ""
        return str(token.strip(), "ascii")

    @property
    def credential(self) -> Credential:
        """What says whose request it is: its token, and the certificate of its connection."""
        there = any(name == b"authorization" for name, _ in self._scope["headers"])
        visit = self._scope.get(VISIT)
        return Credential(self.bearer_token() if there else None, visit and visit.certificate)

    @property
    def cross_site(self) -> bool:
        """A browser sends it for somebody else's page (W3C Fetch Metadata; Origin of RFC 6454)."""
        site, origin = self.header(b"sec-fetch-site"), self.header(b"origin")
        foreign = bool(origin) and origin.partition(b"://")[2] != self.header(b"host")
        return foreign or site not in {b"", b"same-origin", b"none"}

    def header(self, name: bytes) -> bytes:
        """Return the first header of a name; empty if there is none."""
        return next((value for found, value in self._scope["headers"] if found == name), b"")

    async def body(self, limit_bytes: int) -> bytes | None:
        """Return the request's body, or None if it is longer than `limit_bytes` or cut off."""
        parts: list[bytes] = []
        size_bytes = 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                self.gone = True
                return None
            part = message.get("body", b"")
            size_bytes += len(part)
            if size_bytes > limit_bytes:
                return None
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    async def client_gone(self) -> None:
        """Wait until the client closes the connection; call it only after `body`."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True

    async def answer(
        self, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """Send a whole JSON response."""
        await self.send_whole(status, body, [_JSON, *headers])

    async def send_whole(
        self, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """Send a whole response of any type; `headers` name it."""
        await self._start(status, [(b"content-length", b"%d" % len(body)), *headers])
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def refuse(self, error: ApiError, *, close: bool = False) -> None:
        """Send a refusal as a whole response; `close` ends the connection, unread body and all."""
        self.outcome = error.code
        ending = [(b"connection", b"close")] if close else []
        await self.answer(error.status, error.body(), [*error.headers(), *ending])

    async def start_stream(self) -> None:
        """Begin a stream of events."""
        self._streaming_s = time.monotonic()
        await self._start(200, list(_EVENT_STREAM))

    async def write(self, events: bytes, *, last: bool = False) -> None:
        """Send events in one write; waits while the client does not read.

        Raises:
            StalledClientError: it has not read for `WRITE_IDLE_S`, or reads slower than the least
                rate; nothing can be sent any more.
        """
        before_s = time.monotonic()
        try:
            async with asyncio.timeout(WRITE_IDLE_S):
                await self._send(
                    {"type": "http.response.body", "body": events, "more_body": not last}
                )
        except TimeoutError:
            raise StalledClientError from None
        self._sent_bytes += len(events)
        now_s = time.monotonic()
        self._waited_s += now_s - before_s
        if self._waited_s > _SLOW_S and self._too_slow(now_s - self._streaming_s):
            raise StalledClientError

    def _too_slow(self, seconds: float) -> bool:
        return self._sent_bytes < seconds * self._least_rate

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.started = True
        self.timeline.answered(status)
        headers += self.told
        headers.append((b"x-request-id", self.request_id.encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
