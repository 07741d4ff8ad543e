"""Between corral's wire and llama.cpp's OpenAI-like dicts; pure.

Trust: jail zone. Input: JSON of the engine (hostile in principle; the gateway checks what comes out
again). Requests are built from typed fields only; nothing is passed through.
"""

from __future__ import annotations

from corral.engine.plain_json import decode
from corral.engine.worker_wire import Generate, chunk, encode_lines, end, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Line = dict[str, Any]

_CONTEXT_ERROR = "exceed_context_size_error"
_BAD_REQUEST = "invalid_request_error"

_PIECE_BYTES = 256 * 1024
"""Of the engine's JSON in one line of the wire; what becomes of it is shorter, but for escapes."""

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
    body: dict[str, Any] = {
        "stream": True,
        "stream_options": {"include_usage": True},
        # Progress chunks let a cancelled request leave in the middle of a long prompt.
        "return_progress": True,
        "max_tokens": sampling["max_tokens"],
        "cache_prompt": True,
        **DEFAULTS,
    }
    if request.messages is not None:
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
        body["logprobs"] = max(1, logprobs)
    schema = sampling.get("json_schema")
    if schema is not None:
        body["json_schema"] = decode(schema.encode())
    return body


class Turn:
    """One request's chunks, and the wire messages that they become.

    The engine's thread only keeps a chunk, once the first piece went out: it is read with all the
    others of a tick, by the pacer. Reading each as it comes costs several times as much, from
    caches that the model's weights have just been through (docs/benchmarks.md).

    Args:
        request_id: see `engine.wire`.
        start: sends the first piece; returns whether somebody else calls `gather` from now on.
        cancelled: ids of the requests to end.
    """

    def __init__(
        self, request_id: int, *, start: Callable[[Turn, bytes], bool], cancelled: set[int]
    ) -> None:
        self.id = request_id
        self._start = start
        self._cancelled = cancelled
        self._held: list[bytes] = []
        self._is_gathered = False
        self._was_cancelled = False
        self._has_crashed = False
        self._reason = "stop"
        self._usage: tuple[int, int, int] | None = None
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._pieces = 0
        self._failure: str | None = None

    def take(self, raw: bytes) -> bool:
        """Take a chunk from the engine, JSON; return True to stop it."""
        if self._failure or self.is_cancelled():
            return True
        self._held.append(raw)
        if self._is_gathered:
            return False
        lines = self.gather()
        if lines:
            self._is_gathered = self._start(self, lines)
        return self._failure is not None

    def is_cancelled(self) -> bool:
        """Return whether the request is to end, and say so in its result."""
        if self.id in self._cancelled:
            self._was_cancelled = True
        return self._was_cancelled

    def crashed(self) -> None:
        """The engine raised; a failure that it had told before is the one that counts."""
        self._has_crashed = True

    def refused(self, code: str) -> None:
        """Nothing was computed; the code says why."""
        self._failure = code

    def gather(self) -> bytes:
        """Return what was kept since the last time, as lines of the wire; empty if it has no text.

        Not for two threads at once; `take` may run beside it. It raises nothing: a chunk of no
        known form, or one that fits no line, fails the request.
        """
        lines: list[bytes] = []
        left = len(self._held)  # more may come meanwhile, at the end
        while left and self._failure is None:
            raws = self._first(left)
            del self._held[: len(raws)]
            left -= len(raws)
            try:
                lines.append(self._line(raws))
            except Exception:  # whatever a hostile engine may bring about
                self._failure = "engine_error"
        if self._failure is not None:
            self._held.clear()
        return b"".join(lines)

    def result(self) -> Line:
        """Return the message that ends the request."""
        if self._failure is not None:
            return failed(self.id, self._failure)
        if self._has_crashed:
            return failed(self.id, "engine_error")
        usage = self._usage or (self._prompt_tokens, self._pieces, self._cached_tokens)
        return end(self.id, "cancelled" if self._was_cancelled else self._reason, *usage)

    def _first(self, most: int) -> list[bytes]:
        """Return the first chunks that fit a line together; one at least."""
        count = size_bytes = 0
        for raw in self._held[:most]:
            size_bytes += len(raw)
            if count and size_bytes > _PIECE_BYTES:
                break
            count += 1
        return self._held[:count]

    def _line(self, raws: list[bytes]) -> bytes:
        texts: list[str] = []
        logprobs: list[Line] = []
        for raw in raws:
            self._read(decode(raw), texts, logprobs)
            if self._failure is not None:
                break
        if not texts and not logprobs:
            return b""
        return encode_lines([chunk(self.id, "".join(texts), logprobs)])

    def _read(self, found: Any, texts: list[str], logprobs: list[Line]) -> None:
        if "error" in found:
            self._failure = {
                _CONTEXT_ERROR: "context_length_exceeded", _BAD_REQUEST: "bad_request"
            }.get(found["error"].get("type"), "engine_error")  # fmt: skip
            return
        progress = found.get("prompt_progress")
        if progress:
            self._prompt_tokens = _count(progress["total"])
            self._cached_tokens = _count(progress["cache"])
        usage = found.get("usage")
        if usage:
            details = usage.get("prompt_tokens_details") or {}
            self._usage = (
                _count(usage["prompt_tokens"]), _count(usage["completion_tokens"]),
                _count(details.get("cached_tokens", 0)),
            )  # fmt: skip
        for choice in found.get("choices") or ():
            self._read_choice(choice, texts, logprobs)

    def _read_choice(self, choice: Line, texts: list[str], logprobs: list[Line]) -> None:
        # A prompt with images goes by the chat route.
        text = choice.get("text") or (choice.get("delta") or {}).get("content") or ""
        found = (choice.get("logprobs") or {}).get("content") or ()
        if text or found:
            self._pieces += 1
            texts.append(text)
            logprobs += [_logprob(one) for one in found]
        if choice.get("finish_reason"):
            self._reason = "length" if choice["finish_reason"] == "length" else "stop"


def _count(value: Any) -> int:
    if type(value) is not int:
        raise ValueError("no count")
    return value


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
