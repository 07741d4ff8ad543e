"""POST /v1/completions: what may be sent.

Trust: gateway [net]. Input: hostile JSON. One prompt, as text or as a list of one text; token
arrays are refused, and `echo`, `suffix` and `best_of` where they ask for something.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from corral.gateway.ask import Ask
from corral.gateway.errors import ApiError
from corral.gateway.schemas.fields import (
    SamplingFields,
    decode,
    sampling,
    stream_options,
    unsupported,
)

Prompt = Annotated[str, msgspec.Meta(min_length=1)]


class CompletionRequest(SamplingFields, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The body."""

    prompt: Prompt | Annotated[tuple[Prompt, ...], msgspec.Meta(min_length=1, max_length=1)]
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    best_of: Annotated[int, msgspec.Meta(ge=1, le=1)] | None = None
    echo: bool | None = None
    suffix: None = None


_decoder: Final = msgspec.json.Decoder(CompletionRequest)


def parse_completion(body: bytes, *, max_tokens: int) -> Ask | ApiError:
    """Return what a completion request asks, or why it is refused."""
    request = decode(_decoder, body)
    if isinstance(request, ApiError):
        return request
    if request.echo:
        return unsupported("echo")
    options = sampling(
        request,
        asked_tokens=request.max_tokens,
        max_tokens=max_tokens,
        logprobs=request.logprobs,
    )
    if isinstance(options, ApiError):
        return options
    include_usage, obfuscate = stream_options(request)
    return Ask(
        model=request.model,
        sampling=options,
        prompt=request.prompt if isinstance(request.prompt, str) else request.prompt[0],
        asked_as="max_tokens" if request.max_tokens else "",
        stream=bool(request.stream),
        include_usage=include_usage,
        obfuscate=obfuscate,
    )
