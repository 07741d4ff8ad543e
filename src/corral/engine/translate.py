"""Between corral's wire and llama.cpp's OpenAI-like dicts; pure.

Trust: jail zone. Input: dicts from the engine (hostile in principle; the gateway checks what comes
out again). Requests are built from typed fields only; nothing is passed through.
"""

from __future__ import annotations

from corral.engine.worker_wire import Generate, end, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Line = dict[str, Any]

_CONTEXT_ERROR = "exceed_context_size_error"
_BAD_REQUEST = "invalid_request_error"

DEFAULTS: dict[str, Any] = {
    # OpenAI's own: what the model says, neither sharpened nor cut off.
    "temperature": 1.0,
    "top_p": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    # What OpenAI's API does not have is off.
    "samplers": ["penalties", "top_k", "top_p", "min_p", "temperature"],
    "top_k": 0,
    "min_p": 0.0,
    "top_n_sigma": -1.0,
    "typical_p": 1.0,
    "xtc_probability": 0.0,
    "xtc_threshold": 0.1,
    "dynatemp_range": 0.0,
    "repeat_penalty": 1.0,
    "repeat_last_n": 64,  # how far back both penalties look; it was the engine's own
    "dry_multiplier": 0.0,
    "mirostat": 0,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.1,
}
"""How a token is chosen where the caller does not say. Every option is said in every request: what
is left out, the engine would take from the model file's `general.sampling.*`, and a model must not
choose for its callers. docs/api.md tells callers; tests compare both."""


def request_body(request: Generate) -> dict[str, Any]:
    """Return the engine's request for ours."""
    sampling = request.sampling
    chat = request.messages is not None
    body: dict[str, Any] = {
        "stream": True,
        "stream_options": {"include_usage": True},
        # Progress chunks let a cancelled request leave in the middle of a long prompt.
        "return_progress": True,
        "max_tokens": sampling["max_tokens"],
        "cache_prompt": True,
        **DEFAULTS,
    }
    if chat:
        body["messages"] = request.messages
    else:
        body["prompt"] = request.prompt
    for name in ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"):
        value = sampling.get(name)
        if value is not None:
            body[name] = value
    if body["temperature"] == 0:
        body["top_k"] = 1  # the most probable token, without sorting the whole vocabulary
    if sampling.get("stop"):
        body["stop"] = sampling["stop"]
    logprobs = sampling.get("logprobs")
    if logprobs is not None:
        if chat:
            body |= {"logprobs": True, "top_logprobs": logprobs}
        else:
            body["logprobs"] = max(1, logprobs)
    return body


class Turn:
    """Collects one request's chunks and turns them into wire messages."""

    def __init__(
        self,
        request_id: int,
        *,
        send: Callable[[int, str, list[Line]], None],
        cancelled: set[int],
    ) -> None:
        self._id = request_id
        self._send = send
        self._cancelled = cancelled
        self._reason = "stop"
        self._usage: tuple[int, int, int] | None = None
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
            self._usage = (
                usage["prompt_tokens"], usage["completion_tokens"], details.get("cached_tokens", 0)
            )  # fmt: skip
        for choice in chunk.get("choices") or ():
            self._take_choice(choice)
        return False

    def result(self) -> Line:
        """Return the message that ends the request."""
        if self._failure:
            return failed(self._id, self._failure)
        usage = self._usage or (self._prompt_tokens, self._pieces, self._cached_tokens)
        return end(self._id, self._reason, *usage)

    def _take_choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        text = (delta.get("content") if delta is not None else choice.get("text")) or ""
        logprobs = (choice.get("logprobs") or {}).get("content") or ()
        if text or logprobs:
            self._pieces += 1
            self._send(self._id, text, [_logprob(one) for one in logprobs])
        if choice.get("finish_reason"):
            self._reason = "length" if choice["finish_reason"] == "length" else "stop"


def _logprob(one: dict[str, Any]) -> Line:
    line = _token(one)
    if one.get("top_logprobs"):
        line["top_logprobs"] = [_token(t) for t in one["top_logprobs"]]
    return line


def _token(one: dict[str, Any]) -> Line:
    line: Line = {"token": one["token"], "logprob": one["logprob"]}
    if one.get("bytes") is not None:
        line["bytes"] = one["bytes"]
    return line
