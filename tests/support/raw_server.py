"""A server on loopback that says byte for byte what a test tells it, encrypted or not."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import trustme

Answer = Callable[[socket.socket], None]
"""Gets a connection whose request has been read up to its empty line."""


def tls_context(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    """Return a server's context with a certificate for some names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names, key_type=trustme.KeyType.ECDSA).configure_cert(context)
    return context


@contextmanager
def raw_server(
    answer: Answer, context: ssl.SSLContext | None, address: str = "127.0.0.1", port: int = 0
) -> Iterator[int]:
    """Yield the port; every connection gets `answer` once and is closed then."""
    listener = socket.create_server((address, port))

    def serve(plain: socket.socket) -> None:
        # A client that hangs up is what most tests are about.
        with plain, suppress(OSError):
            connection = context.wrap_socket(plain, server_side=True) if context else plain
            with connection:
                asked = b""
                while b"\r\n\r\n" not in asked:
                    part = connection.recv(65536)
                    if not part:
                        return
                    asked += part
                answer(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
