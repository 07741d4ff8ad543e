"""The gateway's side of the launcher's request table, on the event loop.

Trust: gateway [net]. Input: frames of the launcher over an inherited socket, checked all the same;
descriptors that nobody waits for are closed, so that a cancelled request leaks nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from corral.core.errors import CorralError, IpcError
from corral.core.limits import MIB
from corral.ipc.messages import (
    ConfirmSealed,
    Done,
    Drain,
    GatewayAlive,
    GatewayReady,
    Message,
    NextWorker,
    NoMore,
    OpenSecret,
    Refused,
    Reload,
    Secret,
    ShareCores,
    Started,
    StartEngine,
    StartGuard,
    StartMedia,
    StopWorker,
    WorkerEnded,
    WorkerStatus,
    decode_message,
    encode_message,
)
from corral.ipc.socket import close_all, receive_frame, send_frame

_SECRET_BYTES: Final = 1 * MIB
_Reply = TypeVar("_Reply", bound=Message)

Event = WorkerEnded | Reload | Drain
Pipes = tuple[int, int, int]


class LauncherLink:
    """One conversation with the launcher; requests may overlap.

    Args:
        sock: a connected SEQPACKET socket; the link owns it from now on.
        on_event: called on the loop with each event.
        on_closed: called once when the launcher has gone or broke the protocol.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        on_event: Callable[[Event], None],
        on_closed: Callable[[], None],
    ) -> None:
        sock.settimeout(0)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self._on_closed = on_closed
        self._next_id = 1
        self._waiting: dict[int, asyncio.Future[tuple[Message, list[int]]]] = {}
        self._unsent: deque[bytes] = deque()
        self._closed = False
        self._loop.add_reader(sock.fileno(), self._readable)

    async def request(self, message: Message, expect: type[_Reply]) -> tuple[_Reply, list[int]]:
        """Send a request and return its reply with the descriptors that came along.

        Raises:
            CorralError: the launcher refused; its code, message and remedy.
            IpcError: the launcher has gone or answered out of protocol.
        """
        reply, fds = await self._exchange(message)
        if isinstance(reply, expect):
            return reply, fds
        close_all(fds)
        raise _refusal(reply)

    async def start(self, message: StartEngine | StartGuard | StartMedia) -> tuple[Started, Pipes]:
        """Start a jail; return its description and its (stdin, stdout, stderr).

        Raises:
            CorralError: refused.
            IpcError: out of protocol.
        """
        started, fds = await self.request(message, Started)
        if len(fds) != 3:
            close_all(fds)
            raise IpcError("unexpected_reply", "the launcher answered out of protocol")
        return started, (fds[0], fds[1], fds[2])

    async def confirm_sealed(self, worker_id: int) -> None:
        """Have a worker that says `ready` looked at from outside; before its first request.

        Raises:
            CorralError: code `seal_failed`: it was killed; `worker_failed`: it had ended.
            IpcError: the launcher has gone.
        """
        await self.request(ConfirmSealed(worker_id), Done)

    async def share_cores(self, worker_id: int, percent: int) -> None:
        """Let a worker have so much of its weight; one that has gone meanwhile is no error.

        Raises:
            IpcError: the launcher has gone.
        """
        try:
            await self.request(ShareCores(worker_id, percent), Done)
        except IpcError:
            raise
        except CorralError:
            return

    async def stop(self, worker_id: int) -> None:
        """Kill a worker and wait for its end; a worker that has already gone is no error.

        Raises:
            IpcError: the launcher has gone.
        """
        try:
            await self.request(StopWorker(worker_id), Done)
        except IpcError:
            raise
        except CorralError:
            return  # no such worker: it ended by itself, and its event says how

    async def workers(self) -> AsyncIterator[WorkerStatus]:
        """Yield every live sandbox in the order of ids.

        Raises:
            IpcError: the launcher has gone.
        """
        after = 0
        while True:
            reply, fds = await self._exchange(NextWorker(after))
            close_all(fds)
            if isinstance(reply, NoMore):
                return
            if not isinstance(reply, WorkerStatus):
                raise _refusal(reply)
            yield reply
            after = reply.worker_id

    async def open_secret(self, kind: str) -> bytes:
        """Return the content of what `ipc.messages.OpenSecret` names, at most 1 MiB.

        Raises:
            CorralError: refused, or `secret_too_long`.
        """
        _, fds = await self.request(OpenSecret(kind), Secret)
        if len(fds) != 1:
            close_all(fds)
            raise IpcError("unexpected_reply", "the launcher answered out of protocol")
        with os.fdopen(fds[0], "rb") as file:
            content = file.read(_SECRET_BYTES + 1)
        if len(content) > _SECRET_BYTES:
            raise CorralError("secret_too_long", f"the {kind} file is too long")
        return content

    async def gateway_ready(self) -> None:
        """Tell the launcher that requests are served now."""
        await self.request(GatewayReady(), Done)

    async def gateway_alive(self) -> None:
        """Tell the launcher that this loop turns."""
        await self.request(GatewayAlive(), Done)

    def close(self) -> None:
        """End the conversation; requests that wait fail."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(IpcError("peer_gone", "the launcher has gone"))
        self._waiting.clear()
        self._on_closed()

    async def _exchange(self, message: Message) -> tuple[Message, list[int]]:
        if self._closed:
            raise IpcError("peer_gone", "the launcher has gone")
        request_id = self._next_id
        self._next_id = request_id % 0xFFFF_FFFF + 1
        future: asyncio.Future[tuple[Message, list[int]]] = self._loop.create_future()
        self._waiting[request_id] = future
        self._send(encode_message(message, request_id))
        return await future

    def _send(self, frame: bytes) -> None:
        self._unsent.append(frame)
        self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                send_frame(self._sock, self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._sock.fileno(), self._flush)
            return
        except (IpcError, OSError):
            self.close()
            return
        self._loop.remove_writer(self._sock.fileno())

    def _readable(self) -> None:
        try:
            frame, fds = receive_frame(self._sock)
            decoded = decode_message(frame) if frame else None
        except BlockingIOError:
            return
        except (IpcError, OSError):
            self.close()
            return
        if decoded is None:
            close_all(fds)
            self.close()
            return
        message, request_id = decoded
        if request_id == 0:
            close_all(fds)
            if isinstance(message, WorkerEnded | Reload | Drain):
                self._on_event(message)
            return
        future = self._waiting.pop(request_id, None)
        if future is None or future.done():
            close_all(fds)
            if isinstance(message, Started):
                # Nobody waits for this worker any more: it must not live on unowned.
                self._send(encode_message(StopWorker(message.worker_id), 0xFFFF_FFFF))
            return
        future.set_result((message, fds))


def _refusal(reply: Message) -> CorralError:
    if isinstance(reply, Refused):
        return CorralError(reply.code, reply.message, remedy=reply.remedy)
    return IpcError("unexpected_reply", "the launcher answered out of protocol")
