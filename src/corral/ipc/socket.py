"""Send and receive one frame with its descriptors over a Unix SEQPACKET socket.

Trust: trusted base. Input: untrusted frames; descriptors that arrive beyond `FRAME_FDS`, or with a
truncated message, are closed and the peer is refused.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Sequence
from typing import Final

from corral.core.errors import IpcError
from corral.core.limits import FRAME_BYTES, FRAME_FDS

_ANCILLARY: Final = socket.CMSG_SPACE(FRAME_FDS * array.array("i").itemsize)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected SEQPACKET sockets, neither inherited by children."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send_frame(sock: socket.socket, frame: bytes, fds: Sequence[int] = ()) -> None:
    """Send one frame with descriptors.

    Raises:
        IpcError: code `peer_gone`.
    """
    try:
        socket.send_fds(sock, [frame], list(fds), socket.MSG_NOSIGNAL)
    except (BrokenPipeError, ConnectionError) as error:
        raise IpcError("peer_gone", "the other process has gone") from error


def receive_frame(sock: socket.socket) -> tuple[bytes, list[int]]:
    """Receive one frame; an empty frame means that the peer has closed.

    Raises:
        IpcError: codes `frame_too_long`, `peer_gone`.
        BlockingIOError: nothing there yet, on a non-blocking socket.
    """
    fds = array.array("i")
    try:
        data, ancillary, flags, _ = sock.recvmsg(
            FRAME_BYTES + 1, _ANCILLARY, socket.MSG_CMSG_CLOEXEC
        )
    except ConnectionError as error:
        raise IpcError("peer_gone", "the other process has gone") from error
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(data) > FRAME_BYTES:
        close_all(fds)
        raise IpcError("frame_too_long", "the frame is over its limit")
    return data, list(fds)


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors that nobody will use."""
    for fd in fds:
        os.close(fd)
