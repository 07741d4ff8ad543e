"""Blocking client of the launcher's request table, for the command line.

Trust: client side. Input: replies of the launcher, checked all the same.
The gateway speaks the same messages from its event loop (`engine.launcher_link`).
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from corral.core.errors import CorralError, IpcError
from corral.ipc.messages import (
    ConfirmSealed,
    Done,
    Message,
    NextWorker,
    Refused,
    Started,
    StopWorker,
    WorkerEnded,
    WorkerStatus,
    decode_message,
    encode_message,
)
from corral.ipc.socket import close_all, receive_frame, send_frame

_Reply = TypeVar("_Reply", bound=Message)


class LauncherClient:
    """One conversation with the launcher, one request at a time.

    Attributes:
        events: events that arrived while a reply was awaited, oldest first.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._next_id = 1
        self.events: deque[Message] = deque()

    @classmethod
    def connect(cls, path: Path, *, timeout_s: float = 30) -> LauncherClient:
        """Connect to a running server's control socket.

        Raises:
            CorralError: code `not_running`.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A blocking connect waits while the server's queue is full; one with a timeout fails then.
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(timeout_s), 0)
        )
        try:
            sock.connect(str(path))
        except OSError as error:
            sock.close()
            raise CorralError(
                "not_running", "no corral server runs here", remedy="start one: corral up"
            ) from error
        sock.settimeout(timeout_s)
        return cls(sock)

    def close(self) -> None:
        """End the conversation."""
        self._sock.close()

    def request(self, message: Message, expect: type[_Reply]) -> tuple[_Reply, list[int]]:
        """Send a request and return its reply with the descriptors that came along.

        Raises:
            CorralError: the launcher refused; its code, message and remedy.
            IpcError: the launcher has gone or answered out of protocol.
        """
        reply, fds = self._exchange(message)
        if not isinstance(reply, expect):
            close_all(fds)
            raise IpcError("unexpected_reply", "the launcher answered out of protocol")
        return reply, fds

    def start(self, message: Message) -> tuple[Started, tuple[int, int, int]]:
        """Start a sandbox; return its description and (stdin, stdout, stderr) of it.

        Raises:
            CorralError: refused.
            IpcError: out of protocol.
        """
        started, fds = self.request(message, Started)
        if len(fds) != 3:
            close_all(fds)
            raise IpcError("unexpected_reply", "the launcher answered out of protocol")
        return started, (fds[0], fds[1], fds[2])

    def confirm_sealed(self, worker_id: int) -> None:
        """Have a worker that says `ready` looked at from outside; before its first request.

        Raises:
            CorralError: code `seal_failed`: it was killed; `worker_failed`: it had ended.
        """
        self.request(ConfirmSealed(worker_id), Done)

    def stop(self, worker_id: int) -> None:
        """Kill a worker and wait for its end."""
        self.request(StopWorker(worker_id), Done)

    def workers(self) -> Iterator[WorkerStatus]:
        """Yield every live sandbox in the order of ids."""
        after = 0
        while True:
            reply, _ = self._exchange(NextWorker(after))
            if not isinstance(reply, WorkerStatus):
                return
            yield reply
            after = reply.worker_id

    def wait_ended(self, worker_id: int) -> WorkerEnded:
        """Wait for the event that `worker_id` has ended.

        Raises:
            IpcError: the launcher has gone.
        """
        while True:
            if self.events:
                event = self.events.popleft()
            else:
                event, _, fds = self._receive()
                close_all(fds)  # events carry none
            if isinstance(event, WorkerEnded) and event.worker_id == worker_id:
                return event

    def _exchange(self, message: Message) -> tuple[Message, list[int]]:
        request_id = self._next_id
        self._next_id += 1
        send_frame(self._sock, encode_message(message, request_id))
        while True:
            reply, reply_id, fds = self._receive()
            if reply_id == 0:
                close_all(fds)  # events carry none
                self.events.append(reply)
            elif isinstance(reply, Refused):
                close_all(fds)
                raise CorralError(reply.code, reply.message, remedy=reply.remedy)
            elif reply_id != request_id:
                close_all(fds)
                raise IpcError("unexpected_reply", "the launcher answered out of protocol")
            else:
                return reply, fds

    def _receive(self) -> tuple[Message, int, list[int]]:
        frame, fds = receive_frame(self._sock)
        if not frame:
            raise IpcError("peer_gone", "the launcher has gone")
        try:
            decoded = decode_message(frame)
        except IpcError:
            close_all(fds)
            raise
        if decoded is None:
            close_all(fds)
            raise IpcError("unexpected_reply", "the launcher answered out of protocol")
        return decoded[0], decoded[1], fds
