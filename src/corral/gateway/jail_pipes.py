"""The three pipes of a jail on the event loop.

Trust: gateway [net]. Input: hostile bytes of the jail; who reads bounds them. Its stderr is drained
and never kept, since libraries print what they like there.
"""

from __future__ import annotations

import asyncio
import os
from typing import Self

Pipes = tuple[int, int, int]


class JailPipes:
    """A running jail, as far as its pipes go.

    Attributes:
        worker_id: names it to the launcher.
        reader: of its stdout.
        writer: of its stdin.
    """

    def __init__(
        self, worker_id: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        transports: list[asyncio.BaseTransport],
    ) -> None:  # fmt: skip
        self.worker_id = worker_id
        self.reader = reader
        self.writer = writer
        self._transports = transports

    @classmethod
    async def take(cls, worker_id: int, pipes: Pipes, *, limit_bytes: int) -> Self:
        """Take over (stdin, stdout, stderr); of a line, at most `limit_bytes` are read."""
        loop = asyncio.get_running_loop()
        stdin, stdout, stderr = (
            os.fdopen(fd, mode, buffering=0)
            for fd, mode in zip(pipes, ("wb", "rb", "rb"), strict=True)
        )
        reader = asyncio.StreamReader(limit=limit_bytes)
        protocol = asyncio.StreamReaderProtocol(reader)
        reading, _ = await loop.connect_read_pipe(lambda: protocol, stdout)
        drained, _ = await loop.connect_read_pipe(asyncio.Protocol, stderr)
        writing, flow = await loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(loop), stdin
        )
        writer = asyncio.StreamWriter(writing, flow, None, loop)
        return cls(worker_id, reader, writer, [reading, drained, writing])

    def close(self) -> None:
        """Close all three."""
        for transport in self._transports:
            transport.close()
