"""Answers of /v1/completions, streamed and whole.

Trust: gateway [net]. Input: sanitised text and checked numbers.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from corral.engine.wire import End, TokenLogprob
from corral.gateway.ask import Ask, Said, finish_reason, usage_fields
from corral.gateway.shapes.sse import event
from corral.guard.tool_use import Withheld

_encode: Final = msgspec.json.Encoder().encode


class CompletionShape:
    """One answer."""

    def __init__(self, ask: Ask, fingerprint: str) -> None:
        self._ask = ask
        self._same = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": ask.model,
            "system_fingerprint": fingerprint,
        }
        same = b"data: " + _encode(self._same)[:-1]
        self._text = same + b',"choices":[{"index":0,"text":'
        self._bare = same + b',"choices":[]'
        self._usage_null = b',"usage":null' if ask.include_usage else b""
        self._running = b',"logprobs":null,"finish_reason":null}]' + self._usage_null
        self._pad = ask.obfuscate
        self._alternatives = ask.sampling.logprobs
        self._offset = 0

    def head(self) -> bytes:
        """Return nothing: a text completion has no role to name."""
        return b""

    def delta(self, said: Said) -> bytes:
        """Return the event of a piece of the answer; it calls nothing."""
        text, logprobs = said.text, said.logprobs
        if self._alternatives is None:
            return event(self._text + _encode(text) + self._running, pad=self._pad)
        fields = _encode(self._logprobs(logprobs)) if logprobs else b"null"
        return event(
            self._text + _encode(text) + b',"logprobs":' + fields
            + b',"finish_reason":null}]' + self._usage_null,
            pad=self._pad,
        )  # fmt: skip

    def tail(self, end: End, withheld: Sequence[Withheld]) -> bytes:
        """Return the events of the finish reason and, where asked for, of the usage."""
        reason = _encode(finish_reason(end))
        last = event(
            self._text + b'"","logprobs":null,"finish_reason":' + reason + b"}]"
            + self._usage_null,
            pad=self._pad,
        )  # fmt: skip
        if not self._ask.include_usage:
            return last
        usage = _encode(usage_fields(end.usage))
        return last + event(self._bare + b',"usage":' + usage, pad=self._pad)

    def whole(self, said: Said, end: End, withheld: Sequence[Withheld]) -> bytes:
        """Return the body of an answer that is not streamed."""
        return _encode(
            {
                **self._same,
                "choices": [
                    {
                        "index": 0,
                        "text": said.text,
                        "logprobs": (
                            None if self._alternatives is None else self._logprobs(said.logprobs)
                        ),
                        "finish_reason": finish_reason(end),
                    }
                ],
                "usage": usage_fields(end.usage),
            }
        )

    def _logprobs(self, tokens: tuple[TokenLogprob, ...]) -> dict[str, object]:
        offsets: list[int] = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(token.token)
        return {
            "tokens": [token.token for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [
                {one.token: one.logprob for one in token.top_logprobs[: self._alternatives or 0]}
                for token in tokens
            ],
            "text_offset": offsets,
        }
