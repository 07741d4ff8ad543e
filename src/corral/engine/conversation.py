"""What one worker may say: bytes in, checked messages out; a state machine without I/O.

Trust: gateway [net] and command line. Input: hostile bytes of a worker. Bounds: one line is at
most `WIRE_LINE_BYTES`, the text of one request at most `max_tokens` times `TOKEN_BYTES_MAX`, the
number of chunks, log-probabilities and token counts follow from what was asked. The first breach
raises `WireError`; the caller then kills the worker and never feeds it again.

    worker: (Ready | Fatal)  then for each Generate: Chunk* (End | Failed)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from corral.core.limits import WIRE_LINE_BYTES
from corral.engine.wire import (
    Chunk,
    End,
    Failed,
    FromWorker,
    Generate,
    Ready,
    TokenLogprob,
    TopLogprob,
    Usage,
    WireError,
    decode_from_worker,
)

TOKEN_BYTES_MAX: Final = 512
"""Longest text of one token; real vocabularies stay under 256 bytes."""
PROMPT_TOKENS_MAX: Final = 1 << 24
_CHUNKS_SLACK: Final = 64
"""Chunks beyond one for each token: an empty first one, pieces of text that was held back."""
_TOKENS_SLACK: Final = 8
_NAME_BYTES_MAX: Final = 256
_END_REASONS: Final = frozenset({"stop", "length", "cancelled"})
_FAILED_CODES: Final = frozenset({
    "context_length_exceeded", "bad_request", "special_token", "engine_error",
})  # fmt: skip


@dataclass(slots=True)
class _Open:
    """What a running request may still send."""

    text_bytes_left: int
    chunks_left: int
    tokens_max: int
    logprobs: int | None
    cancelled: bool = field(default=False)


class Conversation:
    """The gateway's view of one worker's stdout.

    Attributes:
        ready: the worker's `Ready`, once it has come.
    """

    def __init__(self) -> None:
        self.ready: Ready | None = None
        self._finished = False
        self._rest = b""
        self._open: dict[int, _Open] = {}

    @property
    def open_ids(self) -> frozenset[int]:
        """Requests that have not ended."""
        return frozenset(self._open)

    def opened(self, request: Generate) -> None:
        """Note that `request` is being sent, so that answers to it are expected."""
        tokens = request.sampling.max_tokens
        self._open[request.id] = _Open(
            text_bytes_left=tokens * TOKEN_BYTES_MAX,
            chunks_left=tokens + _CHUNKS_SLACK,
            tokens_max=tokens + _TOKENS_SLACK,
            logprobs=request.sampling.logprobs,
        )

    def cancelled(self, request_id: int) -> None:
        """Note that a cancel is being sent, so that an early end is expected."""
        running = self._open.get(request_id)
        if running:
            running.cancelled = True

    def feed(self, data: bytes) -> list[FromWorker]:
        """Return the messages that `data` completes.

        Raises:
            WireError: the worker broke the protocol; nothing of `data` may be used.
        """
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > WIRE_LINE_BYTES:
            raise WireError("line too long")
        return [self._checked(line) for line in lines]

    def _checked(self, line: bytes) -> FromWorker:
        if len(line) > WIRE_LINE_BYTES:
            raise WireError("line too long")
        if self._finished:
            raise WireError("line after the end")
        message = decode_from_worker(line)
        if isinstance(message, Chunk):
            self._check_chunk(message)
        elif isinstance(message, End):
            self._check_end(message)
        elif isinstance(message, Failed):
            self._close(message.id)
            if message.code not in _FAILED_CODES:
                raise WireError("unknown code")
        elif self.ready is not None:
            raise WireError("ready twice")
        elif isinstance(message, Ready):
            if len(message.engine) > _NAME_BYTES_MAX or not message.engine.isprintable():
                raise WireError("bad engine name")
            self.ready = message
        else:
            self._finished = True
        return message

    def _check_chunk(self, chunk: Chunk) -> None:
        running = self._open.get(chunk.id)
        if running is None:
            raise WireError("unknown id")
        text = chunk.text
        running.text_bytes_left -= len(text) if text.isascii() else len(text.encode())
        running.chunks_left -= 1
        if running.text_bytes_left < 0 or running.chunks_left < 0:
            raise WireError("answer too long")
        if chunk.logprobs:
            if running.logprobs is None:
                raise WireError("log-probabilities that nobody asked for")
            running.chunks_left -= len(chunk.logprobs) - 1
            for token in chunk.logprobs:
                _check_logprob(token, running.logprobs)

    def _check_end(self, end: End) -> None:
        running = self._close(end.id)
        if end.reason not in _END_REASONS or (end.reason == "cancelled" and not running.cancelled):
            raise WireError("bad end reason")
        _check_usage(end.usage, running.tokens_max)

    def _close(self, request_id: int) -> _Open:
        running = self._open.pop(request_id, None)
        if running is None:
            raise WireError("unknown id")
        return running


def _check_usage(usage: Usage, tokens_max: int) -> None:
    if not (
        0 <= usage.prompt_tokens <= PROMPT_TOKENS_MAX
        and 0 <= usage.completion_tokens <= tokens_max
        and 0 <= usage.cached_tokens <= usage.prompt_tokens
    ):
        raise WireError("impossible token counts")


def _check_logprob(token: TokenLogprob, alternatives_max: int) -> None:
    if len(token.top_logprobs) > max(1, alternatives_max):
        raise WireError("too many alternatives")
    every: tuple[TokenLogprob | TopLogprob, ...] = (token, *token.top_logprobs)
    for one in every:
        if len(one.token) > TOKEN_BYTES_MAX or one.logprob > 0.01:
            raise WireError("bad log-probability")
        if one.bytes is not None and (
            len(one.bytes) > TOKEN_BYTES_MAX or any(not 0 <= b <= 255 for b in one.bytes)
        ):
            raise WireError("bad token bytes")
