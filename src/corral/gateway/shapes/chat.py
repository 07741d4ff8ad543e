"""Answers of /v1/chat/completions, streamed and whole.

Trust: gateway [net]. Input: sanitised text and checked numbers. Per chunk the work is one JSON
string and one concatenation: all that stays the same is encoded once for each answer.
"""

from __future__ import annotations

import secrets
import time
from typing import Final

import msgspec

from corral.engine.wire import End, TokenLogprob, TopLogprob
from corral.gateway.ask import Ask, finish_reason, usage_fields
from corral.gateway.shapes.sse import event

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

    def head(self) -> bytes:
        """Return the event that names the role."""
        delta = b'{"role":"assistant","content":"","refusal":null'
        return event(self._open + delta + self._running, pad=self._pad)

    def delta(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> bytes:
        """Return the event of a piece of the answer."""
        if self._alternatives is None:
            return event(self._content + _encode(text) + self._running, pad=self._pad)
        fields = _encode(self._logprobs(logprobs)) if logprobs else b"null"
        return event(
            self._content + _encode(text) + b'},"logprobs":' + fields
            + b',"finish_reason":null}]' + self._usage_null,
            pad=self._pad,
        )  # fmt: skip

    def tail(self, end: End) -> bytes:
        """Return the events of the finish reason and, where asked for, of the usage."""
        reason = _encode(finish_reason(end))
        last = event(
            self._open + b'{},"logprobs":null,"finish_reason":' + reason + b"}]"
            + self._usage_null,
            pad=self._pad,
        )  # fmt: skip
        if not self._ask.include_usage:
            return last
        usage = _encode(usage_fields(end.usage))
        return last + event(self._bare + b',"usage":' + usage, pad=self._pad)

    def whole(self, text: str, logprobs: tuple[TokenLogprob, ...], end: End) -> bytes:
        """Return the body of an answer that is not streamed."""
        return _encode(
            {
                **self._same,
                "object": "chat.completion",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": text, "refusal": None},
                        "logprobs": (
                            None if self._alternatives is None else self._logprobs(logprobs)
                        ),
                        "finish_reason": finish_reason(end),
                    }
                ],
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
