"""A connection that must bring bytes at a least speed, whatever they are: handshake, headers, body.

Trust: fetch jail. Input: a server that may trickle: a byte before each time-out would hold a fetch
for as long as its jail lives (the Slowloris attack, from the server's side).
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import Any

from httpcore2 import NetworkStream, ReadTimeout

from corral.core.limits import KIB


@dataclass(frozen=True, slots=True)
class Pace:
    """The least speed: so many bytes in so much time that was spent waiting for them.

    Time in which the fetch itself does not read (it writes, hashes, or keeps a rate) is not the
    server's.
    """

    bytes_: int = 64 * KIB
    within_s: float = 60.0


class PacedStream(NetworkStream):
    """A connection of the HTTP library whose reads are held to a pace."""

    def __init__(self, stream: NetworkStream, pace: Pace) -> None:
        self._stream, self._pace = stream, pace
        self._waited_s, self._came_bytes = 0.0, 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has come.

        Raises:
            ReadTimeout: nothing came within `timeout`, or too little at the pace.
        """
        left_s = self._pace.within_s - self._waited_s
        if left_s <= 0:
            raise ReadTimeout("too slow")
        begun_s = time.monotonic()
        found = self._stream.read(max_bytes, left_s if timeout is None else min(left_s, timeout))
        self._waited_s += time.monotonic() - begun_s
        self._came_bytes += len(found)
        if self._came_bytes >= self._pace.bytes_:
            self._waited_s, self._came_bytes = 0.0, 0
        return found

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; requests are short, so that the library's time-out is enough."""
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        """Return the encrypted connection; the time-out is that of the whole handshake."""
        limit_s = self._pace.within_s if timeout is None else min(timeout, self._pace.within_s)
        return PacedStream(
            self._stream.start_tls(ssl_context, server_hostname, limit_s), self._pace
        )

    def get_extra_info(self, info: str) -> Any:
        """Return what the library asks about the connection."""
        return self._stream.get_extra_info(info)
