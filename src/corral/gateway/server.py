"""uvicorn on an inherited listening socket: one process, our TLS, our front, our signals.

Trust: gateway [net].
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from corral.gateway.http_guard import Front, GuardedProtocol

_HANDSHAKE_S: Final = 10
_BACKLOG: Final = 512
_KEEP_ALIVE_S: Final = 60


class GatewayServer(uvicorn.Server):
    """Serves until `drain` is called.

    Args:
        app: the application.
        front: bounds of the HTTP protocol.
        tls: context of the listener.
        on_ready: called once connections are taken.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        front: Front,
        tls: ssl.SSLContext,
        on_ready: Callable[[], None],
    ) -> None:
        config = uvicorn.Config(
            app,
            http=functools.partial(GuardedProtocol, front),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        super().__init__(config)
        self._tls = tls
        self._on_ready = on_ready
        self._draining = asyncio.Event()

    def drain(self, deadline_s: float) -> None:
        """Take nothing new, let requests finish within the deadline, then stop."""
        self.config.timeout_graceful_shutdown = max(1, int(deadline_s))
        self.should_exit = True
        self._draining.set()

    async def main_loop(self) -> None:
        """Wait until `drain`; renew the `Date` header each second.

        uvicorn's own wakes up ten times a second, on a core that an engine computes on.
        """
        seconds = 0
        while not await self.on_tick(seconds * 10):
            seconds += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), 1)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the launcher speaks to us over its channel."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, with a bound on the handshake that uvicorn itself does not set."""
        loop = asyncio.get_running_loop()
        await self.lifespan.startup()

        def connection() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
                _loop=loop,
            )

        self.servers = [
            await loop.create_server(
                connection,
                sock=sock,
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE_S,
                ssl_shutdown_timeout=5,
                backlog=_BACKLOG,
            )
            for sock in sockets or ()
        ]
        self.started = True
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, and cut off what has not ended within the deadline."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        # An aborted transport tells its protocol in one of the loop's next two turns.
        for _ in range(3):
            await asyncio.sleep(0)
