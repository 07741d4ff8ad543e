"""A streaming client of the chaos test: one HTTP chunk at a time, on a connection that may stay."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass
from typing import Self

from tests.support.server import MODEL, RunningServer

PATIENCE_S = 60
CutError = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError)


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""A connection on which nothing is under way."""


class RefusedError(Exception):
    """The request was answered with an error.

    Attributes:
        code: its code.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Place:
    """Where the server is, and how it is trusted."""

    host: str
    port: int
    tls: ssl.SSLContext

    @classmethod
    def of(cls, server: RunningServer) -> Self:
        host, port = server.url.removeprefix("https://").split(":")
        return cls(host, int(port), server.tls())

    async def connect(self) -> Line:
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.open_connection(
                self.host, self.port, ssl=self.tls, server_hostname="localhost"
            )


def request(key: str, body: bytes, path: str = "/v1/chat/completions") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def chat(prompt: str, tokens: int) -> bytes:
    return json.dumps({
        "model": MODEL, "messages": [{"role": "user", "content": prompt}], "stream": True,
        "temperature": 0, "seed": 1, "max_tokens": tokens,
        "stream_options": {"include_obfuscation": False},
    }).encode()  # fmt: skip


@dataclass
class Answer:
    """One streamed answer.

    Attributes:
        text: what has been read of it.
        finish: the reason of its end, once it has come.
        error: the code of the error that ended it.
        whole: it came to its proper end.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    text: str = ""
    finish: str = ""
    error: str = ""
    whole: bool = False
    over: bool = False

    @classmethod
    async def ask(
        cls, place: Place, key: str, prompt: str, tokens: int, line: Line | None = None
    ) -> Self:
        """Send a request and read the head of its answer.

        Args:
            line: a connection that an answer left; without one a new one is made.

        Raises:
            RefusedError: the answer is an error.
            OSError, asyncio.IncompleteReadError: the connection was cut.
        """
        reader, writer = line or await place.connect()
        try:
            writer.write(request(key, chat(prompt, tokens)))
            async with asyncio.timeout(PATIENCE_S):
                await read_refusal(reader)
        except BaseException:
            writer.transport.abort()
            raise
        return cls(reader, writer)

    async def read(self) -> bool:
        """Read one HTTP chunk; False if the answer is over."""
        async with asyncio.timeout(PATIENCE_S):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            data = (await self.reader.readexactly(size + 2))[:-2]
        for event in data.decode().split("\n\n"):
            if event:
                self._take(event.removeprefix("data: "))
        self.over = size == 0
        return not self.over and not self.whole and not self.error

    async def leave(self) -> Line | None:
        """Return the connection of a whole answer for the next one, if the server keeps it."""
        try:
            while not self.over:
                await self.read()
        except CutError:
            self.close()
            return None
        return self.reader, self.writer

    def close(self) -> None:
        """Go away without a word."""
        self.writer.transport.abort()

    def _take(self, event: str) -> None:
        if event == "[DONE]":
            self.whole = True
            return
        document = json.loads(event)
        if "error" in document:
            self.error = document["error"]["code"]
            return
        for choice in document["choices"]:
            self.text += choice["delta"].get("content") or ""
            self.finish = choice.get("finish_reason") or self.finish


async def read_refusal(reader: asyncio.StreamReader) -> None:
    """Read the head of a response.

    Raises:
        RefusedError: it is an error.
    """
    status, length = await read_head(reader)
    if status != 200:
        raise RefusedError(json.loads(await reader.readexactly(length))["error"]["code"])


async def read_head(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Return the status and the content length (0 if there is none) of a response."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = 0
    for line in head.split("\r\n")[1:]:
        if line.startswith("content-length:"):
            length = int(line.partition(":")[2])
    return int(head.split()[1]), length
