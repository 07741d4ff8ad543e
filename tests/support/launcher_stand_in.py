"""A launcher's control socket without jails: the real wire, with workers made up by the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from corral.core.home import Home
from corral.ipc.messages import (
    Done,
    Message,
    NextWorker,
    NoMore,
    Refused,
    StopWorker,
    WorkerStatus,
    decode_message,
    encode_message,
)
from corral.ipc.socket import receive_frame, send_frame


@contextmanager
def answering_launcher(home: Home, workers: list[WorkerStatus], pid: int) -> Iterator[None]:
    """Answer NextWorker and StopWorker on the control socket, one connection after another."""
    home.run.mkdir(parents=True, exist_ok=True)
    home.lock_file.write_text(f"{pid}\n")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(home.control_socket))
    listener.listen(4)

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                while frame := receive_frame(peer)[0]:
                    decoded = decode_message(frame)
                    assert decoded is not None
                    send_frame(peer, encode_message(answer(decoded[0]), decoded[1]))

    def answer(message: Message) -> Message:
        if isinstance(message, NextWorker):
            later = [w for w in workers if w.worker_id > message.after]
            return min(later, key=lambda w: w.worker_id) if later else NoMore()
        if isinstance(message, StopWorker):
            workers[:] = [w for w in workers if w.worker_id != message.worker_id]
            return Done()
        return Refused("not_permitted", "not permitted here", "")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        home.control_socket.unlink()
        thread.join(5)
