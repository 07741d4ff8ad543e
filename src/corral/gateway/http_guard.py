"""uvicorn's HTTP protocol behind a strict front: everything a client can stretch is bounded.

Trust: gateway [net]. Input: hostile bytes of unauthenticated clients. Bounds: 32 KiB and 128
headers (the stock parser accepts 60 MB), 10 s for the headers, 30 s for the body and a least rate,
the body's size before it is read, 15 s for a client that does not read, one request at a time on a
connection; how many there are is `gateway.room`'s. The `Host` must come exactly once and be one of
our names, so that a web page cannot reach us by DNS rebinding.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from corral.core.config import Listen
from corral.core.limits import KIB
from corral.gateway.errors import TOO_LARGE, ApiError, bad_request
from corral.gateway.exchange import VISIT
from corral.gateway.room import Visit
from corral.gateway.tls import shown_certificate
from corral.telemetry.metrics import Metrics

_FAREWELL_S: Final = 0.2
_FRAMES_BYTES: Final = 64 * KIB
"""Of a chunked body, beside twice what a body may have."""
_RATE_S: Final = 5.0
"""A body's rate is looked at so often; a shorter body deadline makes that once, at its end."""
_HEAD_TOO_LARGE: Final = ApiError(431, "headers_too_large", "the headers are over their limit")
_BAD_HOST: Final = bad_request("bad_host", "there must be exactly one Host header")
_WRONG_HOST: Final = ApiError(
    421, "unknown_host", "this server does not go by that name; see listen.names"
)
_MALFORMED: Final = bad_request("invalid_http", "this is not HTTP/1.1 as it should be")


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What the front allows.

    Attributes:
        hosts: names (lower case, without port) that `Host` may have.
        body_bytes: longest body.
        body_rate: bytes per second that a body comes with at least, over each 5 s; 0 for any.
        stall_s: how long a client may leave what is sent to it unread.
        metrics: counts what was refused here.
    """

    hosts: frozenset[bytes]
    body_bytes: int
    head_bytes: int = 32 * KIB
    headers: int = 128
    head_s: float = 10
    body_s: float = 30
    body_rate: int = 512
    stall_s: float = 15
    metrics: Metrics = field(default_factory=Metrics)


def allowed_hosts(listen: Listen) -> frozenset[bytes]:
    """Return the names by which this server may be called."""
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    names = {"localhost", "127.0.0.1", "[::1]", host, *listen.names}
    return frozenset(name.lower().encode("idna" if name.isascii() is False else "ascii")
                     for name in names)  # fmt: skip


class GuardedProtocol(HttpToolsProtocol):
    """One connection, in the place `visit`."""

    def __init__(
        self,
        front: Front,
        visit: Visit,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._front = front
        self._visit = visit
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._body_until_s = 0.0
        self._rated_bytes = 0
        self._head_bytes = 0
        self._body_bytes = 0
        self._raw_bytes = 0
        self._in_head = True
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, which has its place already."""
        super().connection_made(transport)
        self._front.metrics.connections += 1
        self._visit.certificate = shown_certificate(transport.get_extra_info("ssl_object"))
        self._visit.end = self._give_up
        self._visit.busy = lambda: self._unanswered() is not None
        self._arm(self._front.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._arm(None)
        self.resume_writing()
        self._visit.leave()
        self._front.metrics.connections -= 1
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, counting those of the headers before the parser sees them."""
        if self._refused:
            return
        if self._in_head:
            # An empty line after a body is no beginning of a head (RFC 9112, section 2.2).
            if self._deadline is None and self._unanswered() is None:
                self._arm(self._front.head_s)
            self._head_bytes += len(data)
            # One read may carry the headers and the start of the body: only what no header
            # could be is refused here, the exact count is taken when the headers are complete.
            if self._head_bytes > self._front.head_bytes + 256 * KIB:
                self._refuse(_HEAD_TOO_LARGE)
                return
        else:
            # Sizes of chunks, their extensions and trailers are no body: they have a bound too.
            self._raw_bytes += len(data)
            if self._raw_bytes > 2 * self._front.body_bytes + _FRAMES_BYTES:
                self._refuse(TOO_LARGE)
                return
        super().data_received(data)
        self._check_open_head()

    def on_message_begin(self) -> None:
        """Refuse a request that comes before the answer to the one before it."""
        if self._unanswered() is not None:
            self._give_up("pipelining")
            return
        super().on_message_begin()
        cast("dict[str, object]", self.scope)[VISIT] = self._visit

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers, which come after the body, are of no use and not kept."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the headers before anything is started for this request."""
        if self._refused:
            return
        self._in_head = False
        size_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size_bytes > self._front.head_bytes or len(self.headers) > self._front.headers:
            self._refuse(_HEAD_TOO_LARGE)
            return
        error = self._check_headers()
        if error is not None:
            self._refuse(error)
            return
        self._body_bytes = self._raw_bytes = self._rated_bytes = 0
        self._body_until_s = self.loop.time() + self._front.body_s
        self._arm(min(_RATE_S, self._front.body_s))
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body within its limit."""
        if self._refused:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._front.body_bytes:
            self._refuse(TOO_LARGE)
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        if self._refused:
            return
        self._in_head = True
        self._head_bytes = 0
        self._arm(None)
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Give a client that leaves things unread a while."""
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(self._front.stall_s, self._give_up, "slow_reader")

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refuses, unless it was refused already."""
        if not self._refused:
            self._refuse(_MALFORMED)

    def shutdown(self) -> None:
        """Close an idle connection soon, even if the client never answers TLS's farewell."""
        super().shutdown()
        if self._unanswered() is None:
            self.loop.call_later(_FAREWELL_S, self.transport.abort)

    def _check_open_head(self) -> None:
        """Refuse headers that are over their limit before they are complete."""
        if self._in_head and not self._refused and self._head_bytes > self._front.head_bytes:
            self._refuse(_HEAD_TOO_LARGE)

    def _check_headers(self) -> ApiError | None:
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) != 1:
            return _BAD_HOST
        if _without_port(hosts[0].lower()) not in self._front.hosts:
            return _WRONG_HOST
        for name, value in self.headers:
            if name == b"content-length" and (
                not value.isdigit() or len(value) > 19 or int(value) > self._front.body_bytes
            ):
                return TOO_LARGE
        return None

    def _refuse(self, error: ApiError) -> None:
        """Answer and close; what the client still sends is not read."""
        self._refused = True
        self._front.metrics.requests.add("front", error.code)
        self._arm(None)
        cycle = self._unanswered()
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
        body = error.body()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[error.status] + head % len(body) + body)
        self.transport.close()

    def _unanswered(self) -> RequestResponseCycle | None:
        # uvicorn declares it as never None, and sets None before the first request.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return None if cycle is None or cycle.response_complete else cycle

    def _arm(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._deadline = None
        if self._in_head:
            self._give_up("head_deadline")
            return
        left_s = self._body_until_s - self.loop.time()
        came = self._body_bytes - self._rated_bytes
        self._rated_bytes = self._body_bytes
        if left_s <= 0.01:
            self._give_up("body_deadline")
        elif came < _RATE_S * self._front.body_rate:
            self._give_up("slow_upload")
        else:
            self._arm(min(_RATE_S, left_s))

    def _give_up(self, reason: str) -> None:
        """End the connection without an answer."""
        self._refused = True
        self._front.metrics.rejected.add(reason)
        self.transport.abort()


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    if colon and (not port or port.isdigit()) and not name.endswith(b":"):
        return name
    return host
