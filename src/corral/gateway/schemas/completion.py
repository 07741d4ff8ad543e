"""POST /v1/completions: what may be sent.

Trust: gateway [net]. Input: hostile JSON. One prompt, as text; `echo`, `suffix`, `best_of` and
token arrays are refused.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from corral.gateway.ask import Ask
from corral.gateway.errors import ApiError
from corral.gateway.schemas.fields import SamplingFields, decode, sampling, stream_options


class CompletionRequest(SamplingFields, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The body."""

    prompt: Annotated[str, msgspec.Meta(min_length=1)]
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None


_decoder: Final = msgspec.json.Decoder(CompletionRequest)


def parse_completion(body: bytes, *, max_tokens: int) -> Ask | ApiError:
    """Return what a completion request asks, or why it is refused."""
    request = decode(_decoder, body)
    if isinstance(request, ApiError):
        return request
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
        prompt=request.prompt,
        stream=bool(request.stream),
        include_usage=include_usage,
        obfuscate=obfuscate,
    )
