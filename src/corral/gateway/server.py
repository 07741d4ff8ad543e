"""uvicorn on an inherited listening socket: one process, our TLS, our front, our signals.

Trust: gateway [net].
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from corral.gateway.door import Door
from corral.gateway.http_guard import Front, GuardedProtocol
from corral.gateway.room import Room, Visit
from corral.gateway.tls import ServerTls


class GatewayServer(uvicorn.Server):
    """Serves until `drain` is called.

    Args:
        app: the application.
        front: bounds of the HTTP protocol.
        room: gives connections their places.
        idle_s: how long a connection may wait between two requests.
        tls: of the listener.
        on_ready: called once connections are taken.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        front: Front,
        room: Room,
        idle_s: int,
        tls: ServerTls,
        on_ready: Callable[[], None],
    ) -> None:
        config = uvicorn.Config(
            app,
            http=GuardedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=idle_s,
        )
        super().__init__(config)
        self._front = front
        self._room = room
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
        """Listen, through doors of our own."""
        loop = asyncio.get_running_loop()
        await self.lifespan.startup()

        def connection(visit: Visit) -> asyncio.Protocol:
            return GuardedProtocol(
                self._front, visit, self.config, self.server_state, self.lifespan.state, loop
            )

        doors = [
            Door(
                sock,
                tls=self._tls,
                room=self._room,
                protocol=connection,
                turned_away=self._front.metrics.rejected.add,
            )
            for sock in sockets or ()
        ]
        self.servers = cast("list[asyncio.Server]", doors)  # uvicorn only closes them
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
