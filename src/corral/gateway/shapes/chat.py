"""Answers of /v1/chat/completions, streamed and whole.

Trust: gateway [net]. Input: sanitised text and checked numbers. Per chunk the work is one JSON
string and one concatenation: all that stays the same is encoded once for each answer.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from corral.engine.wire import End, TokenLogprob, TopLogprob
from corral.gateway.ask import Ask, Said, finish_reason, usage_fields
from corral.gateway.shapes.sse import event
from corral.guard.output_chain import Stopped
from corral.guard.tool_use import ToolCall, Withheld

_encode: Final = msgspec.json.Encoder().encode


class ChatShape:
    """One answer."""

    def __init__(self, ask: Ask, fingerprint: str) -> None:
        self._ask = ask
        self._same = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": ask.model,
            "system_fingerprint": fingerprint,
        }
        same = _encode({**self._same, "object": "chat.completion.chunk"})[:-1]
        self._open = b"data: " + same + b',"choices":[{"index":0,"delta":'
        self._bare = b"data: " + same + b',"choices":[]'
        self._pad = ask.obfuscate
        usage_null = b',"usage":null' if ask.include_usage else b""
        self._content = self._open + b'{"content":'
        self._running = b'},"logprobs":null,"finish_reason":null}]' + usage_null
        self._usage_null = usage_null
        self._alternatives = ask.sampling.logprobs
        self._calls = 0

    def head(self) -> bytes:
        """Return the event that names the role."""
        delta = b'{"role":"assistant","content":"","refusal":null'
        return event(self._open + delta + self._running, pad=self._pad)

    def delta(self, said: Said) -> bytes:
        """Return the events of a piece of the answer: of its text, and of its calls."""
        calls = self._called(said.calls) if said.calls else b""
        text, logprobs = said.text, said.logprobs
        if calls and not text and not logprobs:
            return calls
        if self._alternatives is None:
            return event(self._content + _encode(text) + self._running, pad=self._pad) + calls
        fields = _encode(self._logprobs(logprobs)) if logprobs else b"null"
        return calls + event(
            self._content + _encode(text) + b'},"logprobs":' + fields
            + b',"finish_reason":null}]' + self._usage_null,
            pad=self._pad,
        )  # fmt: skip

    def _called(self, calls: Sequence[ToolCall]) -> bytes:
        told = [{"index": self._calls + n, **_call(one)} for n, one in enumerate(calls)]
        self._calls += len(calls)
        delta = b'{"tool_calls":' + _encode(told)
        return event(self._open + delta + self._running, pad=self._pad)

    def tail(self, end: End, withheld: Sequence[Withheld]) -> bytes:
        """Return the events of the finish reason and, where asked for, of the usage."""
        reason = _encode(finish_reason(end))
        told = b',"withheld_tool_calls":' + _encode(_withheld(withheld)) if withheld else b""
        last = event(
            self._open + b'{},"logprobs":null,"finish_reason":' + reason + told + b"}]"
            + self._usage_null,
            pad=self._pad,
        )  # fmt: skip
        if not self._ask.include_usage:
            return last
        usage = _encode(usage_fields(end.usage))
        return last + event(self._bare + b',"usage":' + usage, pad=self._pad)

    def whole(self, said: Said, end: End, withheld: Sequence[Withheld]) -> bytes:
        """Return the body of an answer that is not streamed."""
        message: dict[str, object] = {"role": "assistant", "content": said.text, "refusal": None}
        if said.calls:
            message["content"] = said.text or None
            message["tool_calls"] = [_call(one) for one in said.calls]
        choice: dict[str, object] = {
            "index": 0,
            "message": message,
            "logprobs": None if self._alternatives is None else self._logprobs(said.logprobs),
            "finish_reason": finish_reason(end),
        }
        if withheld:
            choice["withheld_tool_calls"] = _withheld(withheld)
        return _encode(
            {
                **self._same,
                "object": "chat.completion",
                "choices": [choice],
                "usage": usage_fields(end.usage),
            }
        )

    def _logprobs(self, tokens: tuple[TokenLogprob, ...]) -> dict[str, object]:
        return {
            "content": [
                {
                    **_token(token),
                    "top_logprobs": [
                        _token(one) for one in token.top_logprobs[: self._alternatives or 0]
                    ],
                }
                for token in tokens
            ],
            "refusal": None,
        }


def _token(token: TokenLogprob | TopLogprob) -> dict[str, object]:
    return {"token": token.token, "logprob": token.logprob, "bytes": token.bytes}


def _call(call: ToolCall) -> dict[str, object]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _withheld(calls: Sequence[Withheld]) -> list[dict[str, object]]:
    return [{"code": Stopped(one.kind).code, "name": one.name or None} for one in calls]
