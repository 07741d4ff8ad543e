"""Bodies of tenants: each is asked or refused as the caller's fault; nothing is raised."""

from __future__ import annotations

from corral.gateway.ask import Ask
from corral.gateway.schemas.chat import parse_chat
from corral.gateway.schemas.completion import parse_completion
from fuzz.target import Target

_MAX_TOKENS = 64


def check(data: bytes) -> None:
    """Parse the body as both requests."""
    for parse in (parse_chat, parse_completion):
        asked = parse(data, max_tokens=_MAX_TOKENS)
        if isinstance(asked, Ask):
            if not 1 <= asked.sampling.max_tokens <= _MAX_TOKENS:
                raise AssertionError("more tokens than the server gives")
        elif not 400 <= asked.status < 500:
            raise AssertionError("a refusal that blames the server")


TARGET = Target(
    "chat",
    check,
    (
        b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}',
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}',
        b'{"model":"m","messages":[],"stop":["a"],"logprobs":true,"top_logprobs":2,"seed":-1}',
        b'{"model":"m","prompt":"once","max_tokens":3,"temperature":0.5,"logprobs":1}',
        b'{"model":"m","prompt":"a","stream":true,"stream_options":{"include_usage":true}}',
    ),
)
