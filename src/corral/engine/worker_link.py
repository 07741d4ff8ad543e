"""One live worker: its pipes on the event loop, its requests multiplexed, its deadlines kept.

Trust: gateway [net]. Input: hostile bytes on the worker's stdout and stderr. Bounds: see
`engine.conversation`; besides, at most `WIRE_BACKLOG_LINES` messages and 1 MiB of text wait for a
slow reader, then that stream alone is cancelled and the worker is read on, for the sake of its
other streams; stderr is drained and counted, never kept (engines print prompt text there).

Any breach, silence over a deadline or end of the pipes breaks the link: every request on it gets
`Broken`, and `on_broken` is told the code once. The link never speaks to the launcher itself.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from corral.core.limits import MIB, WIRE_BACKLOG_LINES, WIRE_LINE_BYTES
from corral.engine.conversation import Conversation
from corral.engine.launcher_link import Pipes
from corral.engine.media_bounds import MEDIA_BYTES
from corral.engine.wire import (
    Cancel,
    Chunk,
    End,
    Failed,
    Fatal,
    FromWorker,
    Generate,
    Load,
    Message,
    Ready,
    Sampling,
    ToWorker,
    WireError,
    encode_line,
    media_lines,
)

_READ_BYTES: Final = 64 * 1024
_BACKLOG_BYTES: Final = 1 * MIB
_TICK_S: Final = 0.5
_UNSENT_BYTES: Final = 64 * (WIRE_LINE_BYTES + 2 * MEDIA_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long a worker may be silent, in seconds.

    Attributes:
        load_s: from start to `Ready`.
        first_chunk_s: from request to its first message; long, because prefills queue up.
        next_chunk_s: between two messages of one request.
        cancel_s: from cancel to the end of the request.
    """

    load_s: float = 120
    first_chunk_s: float = 300
    next_chunk_s: float = 60
    cancel_s: float = 30


@dataclass(frozen=True, slots=True)
class Broken:
    """The request cannot be answered: its worker has gone, or its client is at fault.

    Attributes:
        code: `worker_failed`, `worker_timeout`, `reader_too_slow`, or `request_too_large` if it
            was never sent.
    """

    code: str


Item = Chunk | End | Failed | Broken


class Stream:
    """The answer to one request, as it comes.

    Attributes:
        outcome: the last item, once the request is over.
        chunks: how many chunks have come.
    """

    def __init__(self, link: WorkerLink, request_id: int, started_s: float) -> None:
        self.outcome: End | Failed | Broken | None = None
        self.chunks = 0
        self._text_bytes = 0
        self._link = link
        self.request_id = request_id
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._when_over: list[Callable[[End | Failed | Broken], None]] = []
        self._abandoned = False
        self.heard_s = started_s
        self.silence_s = link.deadlines.first_chunk_s
        self.cancelled = False

    @property
    def answer_tokens(self) -> int:
        """Tokens of the answer so far, at four characters each; its end has the true number."""
        return -(-self._text_bytes // 4)

    async def receive(self) -> list[Item]:
        """Return all items that have come, at least one; one task at a time.

        The last item of the last batch is the outcome; there is nothing to wait for after it.
        """
        if not self._items:
            if self.outcome is not None:
                return [self.outcome]
            self._waiter = self._link.loop.create_future()
            await self._waiter
        batch = list(self._items)
        self._items.clear()
        self._bytes = 0
        return batch

    def abandon(self) -> None:
        """Cancel the request; what still comes of it is thrown away."""
        if self.outcome is None and not self._abandoned:
            self._abandoned = True
            self._items.clear()
            self._bytes = 0
            self._link.cancel(self.request_id)

    def when_over(self, callback: Callable[[End | Failed | Broken], None]) -> None:
        """Call `callback` with the outcome, at once if it is there; also after `abandon`."""
        if self.outcome is not None:
            callback(self.outcome)
        else:
            self._when_over.append(callback)

    def put(self, item: Item) -> None:
        """Take one item from the link."""
        if self.outcome is not None:
            return
        if isinstance(item, Chunk):
            self.chunks += 1
            self._text_bytes += len(item.text)
        else:
            self.outcome = item
        if not self._abandoned:
            self._items.append(item)
            if isinstance(item, Chunk):
                # 256 bytes for each logprob entry is its order of size, text aside.
                self._bytes += len(item.text) + 256 * len(item.logprobs)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
        if self.outcome is not None:
            for callback in self._when_over:
                callback(self.outcome)
            self._when_over.clear()

    @property
    def full(self) -> bool:
        """The backlog is at its bound."""
        return len(self._items) >= WIRE_BACKLOG_LINES or self._bytes >= _BACKLOG_BYTES


class WorkerLink:
    """The pipes of one worker.

    Args:
        pipes: stdin, stdout and stderr of the worker; the link owns them from now on.
        template: chat template of the model's receipt.
        deadlines: how long it may be silent.
        on_broken: called once with a code when the worker is no longer usable.

    Attributes:
        heard_s: loop time of the worker's last bytes.
        pieces: how many pieces of answers it has sent.
    """

    def __init__(
        self,
        pipes: Pipes,
        *,
        template: str,
        deadlines: Deadlines,
        on_broken: Callable[[str], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.deadlines = deadlines
        self.stderr_bytes = 0
        self.heard_s = self.loop.time()
        self.pieces = 0
        self._stdin, self._stdout, self._stderr = pipes
        self._on_broken = on_broken
        self._conversation = Conversation()
        self._streams: dict[int, Stream] = {}
        self._next_id = 1
        self._unsent = bytearray()
        self._flushing = False
        self._open = True
        self._loaded: asyncio.Future[Ready | Fatal | Broken] = self.loop.create_future()
        self._load_deadline_s: float | None = self.loop.time() + deadlines.load_s
        for fd in pipes:
            os.set_blocking(fd, False)
        self.loop.add_reader(self._stdout, self._stdout_readable)
        self.loop.add_reader(self._stderr, self._stderr_readable)
        self._ticker = self.loop.call_later(_TICK_S, self._tick)
        self._send(Load(template))

    async def loaded(self) -> Ready | Fatal | Broken:
        """Wait until the model is loaded or cannot be."""
        return await asyncio.shield(self._loaded)

    @property
    def usable(self) -> bool:
        """The worker takes requests."""
        return self._open and self._conversation.ready is not None

    def submit(
        self,
        sampling: Sampling,
        messages: tuple[Message, ...] | None,
        prompt: str | None,
        media: tuple[bytes, ...] = (),
    ) -> Stream:
        """Send a request and return its answer to come.

        Args:
            sampling: as in `Generate`, as the next two.
            messages: of a chat.
            prompt: of a text.
            media: images and sounds of the messages, in their order; at most `MEDIA_BYTES`.
        """
        request = Generate(id=self._next_id, sampling=sampling, messages=messages, prompt=prompt)
        self._next_id += 1
        stream = Stream(self, request.id, self.loop.time())
        try:
            lines = b"".join(map(encode_line, media_lines(request.id, media)))
            lines += encode_line(request)
        except WireError:
            stream.put(Broken("request_too_large"))  # `wire.fits_line` was to find out before
            return stream
        if not self.usable:
            stream.put(Broken("worker_failed"))
            return stream
        self._streams[request.id] = stream
        self._conversation.opened(request)
        self._write(lines)
        return stream

    def cancel(self, request_id: int) -> None:
        """Ask the worker to end a request early."""
        stream = self._streams.get(request_id)
        if stream is not None and self._open:
            stream.heard_s = self.loop.time()
            stream.silence_s = self.deadlines.cancel_s
            stream.cancelled = True
            self._conversation.cancelled(request_id)
            self._send(Cancel(request_id))

    def close(self, code: str = "worker_failed") -> None:
        """Close the pipes; requests that run get `Broken(code)`. `on_broken` is not called."""
        if not self._open:
            return
        self._open = False
        self._ticker.cancel()
        self.loop.remove_reader(self._stdout)
        self.loop.remove_reader(self._stderr)
        self.loop.remove_writer(self._stdin)
        for fd in (self._stdin, self._stdout, self._stderr):
            os.close(fd)
        self._unsent.clear()
        if not self._loaded.done():
            self._loaded.set_result(Broken(code))
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.put(Broken(code))

    def _break(self, code: str) -> None:
        if self._open:
            self.close(code)
            self._on_broken(code)

    def _stdout_readable(self) -> None:
        try:
            data = os.read(self._stdout, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._break("worker_failed")
            return
        self.heard_s = self.loop.time()
        try:
            for message in self._conversation.feed(data):
                self._deliver(message)
        except WireError:
            self._break("worker_failed")

    def _deliver(self, message: FromWorker) -> None:
        if isinstance(message, Ready | Fatal):
            self._load_deadline_s = None
            if not self._loaded.done():
                self._loaded.set_result(message)
            return
        stream = self._streams.get(message.id)
        if stream is None:
            return  # the link was closed by what an earlier message of this batch set off
        now = self.loop.time()
        if isinstance(message, Chunk):
            self.pieces += 1
            if not stream.cancelled:  # chunks do not put off the end of a cancelled request
                stream.heard_s = now
                stream.silence_s = self.deadlines.next_chunk_s
        else:
            del self._streams[message.id]
        stream.put(message)
        if stream.full and stream.outcome is None:
            stream.put(Broken("reader_too_slow"))
            self.cancel(message.id)

    def _stderr_readable(self) -> None:
        try:
            data = os.read(self._stderr, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self.loop.remove_reader(self._stderr)
            return
        self.stderr_bytes += len(data)

    def _send(self, message: ToWorker) -> None:
        self._write(encode_line(message))

    def _write(self, line: bytes) -> None:
        # Bounded by the slots: each running request is its media, one line and one cancel at most.
        if len(self._unsent) > _UNSENT_BYTES:
            self._break("worker_failed")
            return
        self._unsent += line
        if not self._flushing:
            # Requests that come at the same time reach the engine in one write, and so its first
            # prompt batch together, instead of one batch for the first of them alone.
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if not self._open:
            return
        try:
            while self._unsent:
                written = os.write(self._stdin, self._unsent[:_READ_BYTES])
                del self._unsent[:written]
        except (BlockingIOError, InterruptedError):
            self.loop.add_writer(self._stdin, self._flush)
            return
        except OSError:
            self._break("worker_failed")
            return
        self.loop.remove_writer(self._stdin)

    def _tick(self) -> None:
        """Look for silence; one timer for the link instead of one for each chunk."""
        self._ticker = self.loop.call_later(_TICK_S, self._tick)
        now = self.loop.time()
        if self._load_deadline_s is not None and now > self._load_deadline_s:
            self._break("worker_timeout")
            return
        for stream in list(self._streams.values()):
            if now - stream.heard_s > stream.silence_s:
                self._break("worker_timeout")
                return
