"""Fields that chat and text completions have in common, and how a wrong one is named.

Trust: gateway [net]. Input: hostile JSON, bounded by the body's size; depth is bounded by the
schema, since nothing untyped is decoded. Spec: OpenAI API reference, chat and completions.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeVar

import msgspec

from corral.engine.wire import Sampling
from corral.gateway.errors import ApiError, answer_too_long, bad_request

_T = TypeVar("_T")

STOPS_MAX: Final = 16
_UNKNOWN_FIELD: Final = re.compile(
    r"Object contains unknown field `([^`]{1,64})`(?: - at `\$(.*)`)?"
)
_AT: Final = re.compile(r" - at `\$\.?([^`]{1,128})`")
_MISSING: Final = re.compile(r"Object missing required field `([^`]{1,64})`")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_OWN_WORDS: Final = re.compile(r"(Expected|JSON is malformed|Input data was truncated)[ -~]{0,200}")
"""Messages of the parser that have nothing of what was sent, but positions and our own names."""
_SEED_MODULUS: Final = 0xFFFF_FFFF
"""The engine takes 32 bits and reads the highest value as `random`; it is never reached."""
NO_OPS: Final = frozenset({
    "audio", "best_of", "echo", "function_call", "functions", "logit_bias", "modalities",
    "moderation", "prediction", "reasoning_effort", "service_tier", "suffix", "verbosity",
    "web_search_options",
})  # fmt: skip
"""OpenAI's fields that clients send with a value that asks for nothing; any other is refused."""

Stop = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
Tokens = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
Label = Annotated[str, msgspec.Meta(max_length=512)]


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How a stream is sent."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class SamplingFields(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What both endpoints take; docs/api.md says what each means (a test compares)."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=96)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | None = None
    stop: Stop | Annotated[tuple[Stop, ...], msgspec.Meta(max_length=STOPS_MAX)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=1)] | None = None
    user: Label | None = None
    metadata: Annotated[dict[Label, Label], msgspec.Meta(max_length=16)] | None = None
    logit_bias: Annotated[dict[Label, float], msgspec.Meta(max_length=0)] | None = None


def decode(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T | ApiError:
    """Decode a body, or say which field is wrong."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        return _wrong_field(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bad_request("invalid_json", "the body is not valid JSON in UTF-8")


def sampling(
    fields: SamplingFields,
    *,
    asked_tokens: int | None,
    max_tokens: int,
    logprobs: int | None,
    asked_as: str = "max_tokens",
) -> Sampling | ApiError:
    """Return the engine's sampling options, or why they are refused.

    Args:
        fields: what the caller sent.
        asked_tokens: the caller's own bound of the answer.
        max_tokens: the server's ceiling, used where the caller gave none.
        logprobs: alternatives for each token; None for no log-probabilities.
        asked_as: the field that the caller's bound came in.
    """
    if asked_tokens is not None and asked_tokens > max_tokens:
        return answer_too_long(asked_as, asked_tokens, max_tokens)
    if fields.stream_options is not None and not fields.stream:
        return bad_request(
            "invalid_parameter", "stream_options needs stream to be true", "stream_options"
        )
    stop = (fields.stop,) if isinstance(fields.stop, str) else fields.stop or ()
    return Sampling(
        max_tokens=asked_tokens or max_tokens,
        temperature=fields.temperature,
        top_p=fields.top_p,
        seed=None if fields.seed is None else fields.seed % _SEED_MODULUS,
        stop=stop,
        frequency_penalty=fields.frequency_penalty,
        presence_penalty=fields.presence_penalty,
        logprobs=logprobs,
    )


def stream_options(fields: SamplingFields) -> tuple[bool, bool]:
    """Return (include usage, obfuscate)."""
    options = fields.stream_options or StreamOptions()
    return bool(options.include_usage), options.include_obfuscation is not False


def unsupported(param: str) -> ApiError:
    """Return the refusal of one of `NO_OPS` with a value that asks for something."""
    return bad_request("unknown_parameter", f"this value of '{param}' is not supported", param)


def _wrong_field(text: str) -> ApiError:
    unknown = _UNKNOWN_FIELD.match(text)
    if unknown:
        return _unknown(unknown[1], unknown[2] or "")
    missing = _MISSING.match(text)
    if missing:
        return bad_request(
            "missing_parameter", f"the parameter '{missing[1]}' is required", missing[1]
        )
    at = _AT.search(text)
    if at and (field := re.split(r"[.\[]", at[1])[0]) in NO_OPS:
        return unsupported(field)
    message = text if _OWN_WORDS.match(text) else "a parameter has a value that is not supported"
    return bad_request("invalid_parameter", message, at[1] if at else None)


def _unknown(name: str, where: str) -> ApiError:
    """Return the refusal of a field; its name is said where it is no more than the name of one."""
    if not _NAME.fullmatch(name):
        return bad_request(
            "unknown_parameter", "an object has a field that is not supported", where or None
        )
    param = f"{where}.{name}".lstrip(".")
    return bad_request("unknown_parameter", f"the parameter '{param}' is not supported", param)
