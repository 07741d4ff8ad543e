"""A light streaming client, the same for both sides: one thread, one connection for each stream.

While tokens come, it only keeps the bytes and the time of each read; everything is parsed after
the answer has ended, so that the client takes little of the processor that the engine needs.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass

_END = b"\r\n0\r\n\r\n"
_TIMEOUT_S = 120.0


class StreamError(Exception):
    """The server did not answer with a whole stream."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One side.

    Attributes:
        tls: None for plain HTTP.
        key: bearer token; empty for none.
    """

    name: str
    host: str
    port: int
    model: str
    tls: ssl.SSLContext | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer; times of `time.perf_counter()`.

    Attributes:
        sent_s: just before the request was written.
        first_s: when the first event with text had come.
        last_s: when the last byte had come.
        events: events with text.
    """

    sent_s: float
    first_s: float
    last_s: float
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    events: int
    text: str

    @property
    def first_token_ms(self) -> float:
        """Time to first token."""
        return (self.first_s - self.sent_s) * 1000


class Connection(asyncio.Protocol):
    """One connection for one request: the bare server closes it after a streamed answer."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._transport: asyncio.Transport | None = None
        self._reads: list[tuple[float, bytes]] = []
        self._tail = b""
        self._done: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, endpoint: Endpoint) -> Connection:
        """Connect, with the TLS handshake where there is one."""
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(
            lambda: cls(endpoint), endpoint.host, endpoint.port, ssl=endpoint.tls
        )
        return protocol

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    async def ask(self, prompt: str, max_tokens: int) -> Answer:
        """Send one chat request and return its whole streamed answer.

        Raises:
            StreamError: refused, cut off, or without an end for `_TIMEOUT_S`.
        """
        if self._transport is None:
            raise StreamError(f"{self._endpoint.name}: not connected")
        self._done = asyncio.get_running_loop().create_future()
        request = self._request(prompt, max_tokens)
        sent_s = time.perf_counter()
        self._transport.write(request)
        async with asyncio.timeout(_TIMEOUT_S):
            await self._done
        return _parse(self._endpoint.name, sent_s, self._reads)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Keep what came and when."""
        self._reads.append((time.perf_counter(), data))
        self._tail = (self._tail + data)[-len(_END) :]
        first = self._reads[0][1]
        over = self._tail == _END or not first.startswith(b"HTTP/1.1 200")
        if over and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake up whoever waits."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(StreamError(f"{self._endpoint.name}: cut off"))

    def _request(self, prompt: str, max_tokens: int) -> bytes:
        body = json.dumps(
            {
                "model": self._endpoint.model,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": max_tokens,
                "temperature": 0,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        ).encode()
        head = [
            "POST /v1/chat/completions HTTP/1.1",
            f"Host: {self._endpoint.host}:{self._endpoint.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        if self._endpoint.key:
            head.append(f"Authorization: Bearer {self._endpoint.key}")
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def _parse(name: str, sent_s: float, reads: list[tuple[float, bytes]]) -> Answer:
    first_s = 0.0
    events = 0
    texts: list[str] = []
    usage: dict[str, object] = {}
    for at_s, event in _events(name, reads):
        if event == b"[DONE]":
            continue
        document = json.loads(event)
        for choice in document.get("choices", ()):
            text = choice["delta"].get("content")
            if text:
                first_s = first_s or at_s
                events += 1
                texts.append(text)
        usage = document.get("usage") or usage
    if not first_s or not usage:
        raise StreamError(f"{name}: the answer was empty or without usage")
    details = usage.get("prompt_tokens_details") or {}
    return Answer(
        sent_s=sent_s,
        first_s=first_s,
        last_s=reads[-1][0],
        prompt_tokens=int(str(usage["prompt_tokens"])),
        cached_tokens=int(details.get("cached_tokens", 0)) if isinstance(details, dict) else 0,
        completion_tokens=int(str(usage["completion_tokens"])),
        events=events,
        text="".join(texts),
    )


def _events(name: str, reads: list[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Yield (time, data) of each event; its time is that of the read that completed it."""
    raw = b"".join(data for _, data in reads)
    ends: list[tuple[int, float]] = []
    size = 0
    for at_s, data in reads:
        size += len(data)
        ends.append((size, at_s))
    head, blank, _ = raw.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise StreamError(f"{name}: {raw[:300].decode(errors='replace')}")
    if not blank or b"chunked" not in head.lower():
        raise StreamError(f"{name}: not a chunked answer")
    offset = len(head) + 4
    pending = b""
    read = 0
    while True:
        line_end = raw.index(b"\r\n", offset)
        length = int(raw[offset:line_end], 16)
        offset = line_end + 2 + length + 2
        while ends[read][0] < offset - 2:
            read += 1
        if not length:
            return
        pending += raw[line_end + 2 : offset - 2]
        *whole, pending = pending.split(b"\n\n")
        for event in whole:
            if event.startswith(b"data: "):
                yield ends[read][1], event[6:]
