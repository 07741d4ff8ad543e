"""Between corral's wire and llama.cpp's OpenAI-like dicts; pure.

Trust: jail zone. Input: dicts from the engine (hostile in principle; the gateway checks what comes
out again). Requests are built from typed fields only; nothing is passed through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from corral.engine.wire import (
    End,
    Failed,
    FromWorker,
    Generate,
    TokenLogprob,
    TopLogprob,
    Usage,
)

_CONTEXT_ERROR = "exceed_context_size_error"
_BAD_REQUEST = "invalid_request_error"


def request_body(request: Generate) -> dict[str, Any]:
    """Return the engine's request for ours."""
    sampling = request.sampling
    chat = request.messages is not None
    body: dict[str, Any] = {
        "stream": True,
        "stream_options": {"include_usage": True},
        # Progress chunks let a cancelled request leave in the middle of a long prompt.
        "return_progress": True,
        "max_tokens": sampling.max_tokens,
        "cache_prompt": True,
    }
    if chat:
        body["messages"] = [{"role": m.role, "content": m.content} for m in request.messages or ()]
    else:
        body["prompt"] = request.prompt
    for name in ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"):
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.logprobs is not None:
        if chat:
            body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
        else:
            body["logprobs"] = max(1, sampling.logprobs)
    return body


class Turn:
    """Collects one request's chunks and turns them into wire messages."""

    def __init__(
        self,
        request_id: int,
        *,
        send: Callable[[int, str, tuple[TokenLogprob, ...]], None],
        cancelled: set[int],
    ) -> None:
        self._id = request_id
        self._send = send
        self._cancelled = cancelled
        self._reason = "stop"
        self._usage: Usage | None = None
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._pieces = 0
        self._failure: str | None = None

    def take(self, chunk: dict[str, Any]) -> bool:
        """Take a chunk from the engine; return True to stop it."""
        if "error" in chunk:
            kind = chunk["error"].get("type")
            self._failure = {
                _CONTEXT_ERROR: "context_length_exceeded", _BAD_REQUEST: "bad_request"
            }.get(kind, "engine_error")  # fmt: skip
            return True
        if self._id in self._cancelled:
            self._reason = "cancelled"
            return True
        progress = chunk.get("prompt_progress")
        if progress:
            self._prompt_tokens, self._cached_tokens = progress["total"], progress["cache"]
        usage = chunk.get("usage")
        if usage:
            details = usage.get("prompt_tokens_details") or {}
            self._usage = Usage(
                usage["prompt_tokens"], usage["completion_tokens"], details.get("cached_tokens", 0)
            )
        for choice in chunk.get("choices") or ():
            self._take_choice(choice)
        return False

    def result(self) -> FromWorker:
        """Return the message that ends the request."""
        if self._failure:
            return Failed(self._id, self._failure)
        usage = self._usage or Usage(self._prompt_tokens, self._pieces, self._cached_tokens)
        return End(self._id, self._reason, usage)

    def _take_choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        text = (delta.get("content") if delta is not None else choice.get("text")) or ""
        logprobs = (choice.get("logprobs") or {}).get("content") or ()
        if text or logprobs:
            self._pieces += 1
            self._send(self._id, text, tuple(_logprob(one) for one in logprobs))
        if choice.get("finish_reason"):
            self._reason = "length" if choice["finish_reason"] == "length" else "stop"


def _logprob(one: dict[str, Any]) -> TokenLogprob:
    return TokenLogprob(
        token=one["token"],
        logprob=one["logprob"],
        bytes=tuple(one["bytes"]) if one.get("bytes") is not None else None,
        top_logprobs=tuple(
            TopLogprob(
                t["token"], t["logprob"],
                tuple(t["bytes"]) if t.get("bytes") is not None else None,
            )
            for t in one.get("top_logprobs") or ()
        ),
    )  # fmt: skip
