"""Takes connections off the listening socket, each into its place before its first byte is read.

Trust: gateway [net]. Input: hostile clients. Accepted by ourselves and not by the event loop's own
server, because a connection that never ends its TLS handshake has to hold a place too: else those
alone would use up the descriptors.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

from corral.gateway.room import Room, Visit
from corral.gateway.tls import ServerTls

_HANDSHAKE_S: Final = 10
_FAREWELL_S: Final = 5
_BACKLOG: Final = 512
_AT_ONCE: Final = 32
"""Connections taken in one turn of the loop, so that a crowd at the door stops nobody inside."""


class Door:
    """One listening socket; has what uvicorn calls of an `asyncio.Server`.

    Args:
        sock: listens, or is about to; not closed by the door.
        tls: gives the context of each handshake.
        room: gives places.
        protocol: makes a connection's protocol, which gives the place back at its end.
        turned_away: told the reason of each connection that got no place.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        tls: ServerTls,
        room: Room,
        protocol: Callable[[Visit], asyncio.Protocol],
        turned_away: Callable[[str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._tls = tls
        self._room = room
        self._protocol = protocol
        self._turned_away = turned_away
        self._handshakes: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        sock.listen(_BACKLOG)
        self._loop.add_reader(sock.fileno(), self._knock)

    def close(self) -> None:
        """Take nobody any more, and end the handshakes."""
        self._loop.remove_reader(self._sock.fileno())
        for task in self._handshakes:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until the last handshake has ended."""
        if self._handshakes:
            await asyncio.wait(self._handshakes)

    def _knock(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, peer = self._sock.accept()
            except OSError:  # nobody there any more, gone already, or no descriptor left
                return
            visit = self._room.enter(str(peer[0]))
            if isinstance(visit, str):
                sock.close()
                self._turned_away(visit)
                continue
            task = self._loop.create_task(self._shake_hands(sock, visit))
            visit.end = lambda reason, task=task: self._send_away(task, reason)  # type: ignore[misc]
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    def _send_away(self, task: asyncio.Task[None], reason: str) -> None:
        self._turned_away(reason)
        task.cancel()

    async def _shake_hands(self, sock: socket.socket, visit: Visit) -> None:
        protocol = self._protocol(visit)
        sock.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol, sock, ssl=self._tls.context,
                ssl_handshake_timeout=_HANDSHAKE_S, ssl_shutdown_timeout=_FAREWELL_S,
            )  # fmt: skip
        except (OSError, asyncio.CancelledError):
            visit.leave()  # the protocol never had the connection
            with contextlib.suppress(OSError):
                sock.close()
