"""POST /v1/chat/completions: what may be sent.

Trust: gateway [net]. Input: hostile JSON. An assistant message that the official client sends back
as it got it (with `refusal: null` and the like) is taken. A
message's `name` is checked and ignored: templates differ in what they do with one.
"""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Final, Literal

import msgspec

from corral.engine.wire import Message
from corral.gateway.ask import Ask
from corral.gateway.errors import ApiError, bad_request
from corral.gateway.schemas.fields import (
    Label,
    Tokens,
    decode,
    sampling,
    stream_options,
)
from corral.gateway.schemas.media_parts import (
    UPLOADS_MAX,
    AudioPart,
    ImagePart,
    parse_upload,
)
from corral.gateway.schemas.response_format import PARAM, ResponseFormat, answer_schema
from corral.gateway.schemas.tools import MessageToolFields, ToolFields, tool_use
from corral.guard.json_schema import Schema
from corral.guard.tool_use import ToolUse
from corral.media.upload import Upload


class TextPart(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="text"
):
    """One text part of a message.

    Attributes:
        untrusted: a field of corral's own: strangers may have written it, so it is sanitised and
            shown to the model like a document.
    """

    text: str
    untrusted: bool = False


ContentPart = TextPart | ImagePart | AudioPart


class ChatMessage(MessageToolFields, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[tuple[ContentPart, ...], msgspec.Meta(max_length=1024)] | None = None
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}\Z")] | None = None
    refusal: None = None
    annotations: Annotated[tuple[None, ...], msgspec.Meta(max_length=0)] | None = None
    audio: None = None
    function_call: None = None


Modalities = Annotated[tuple[Literal["text"], ...], msgspec.Meta(min_length=1, max_length=1)]


class ChatRequest(ToolFields, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The body."""

    messages: Annotated[tuple[ChatMessage, ...], msgspec.Meta(min_length=1, max_length=4096)]
    max_completion_tokens: Tokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    prompt_cache_key: Label | None = None
    safety_identifier: Label | None = None
    audio: None = None
    function_call: Literal["none"] | None = None
    functions: None = None
    modalities: Modalities | None = None
    moderation: None = None
    prediction: None = None
    reasoning_effort: None = None
    service_tier: Literal["auto", "default"] | None = None
    store: bool | None = None
    verbosity: None = None
    web_search_options: None = None


_decoder: Final = msgspec.json.Decoder(ChatRequest)


def parse_chat(body: bytes, *, max_tokens: int) -> Ask | ApiError:
    """Return what a chat request asks, or why it is refused."""
    request = decode(_decoder, body)
    if isinstance(request, ApiError):
        return request
    if request.top_logprobs is not None and not request.logprobs:
        return bad_request(
            "invalid_parameter", "top_logprobs needs logprobs to be true", "top_logprobs"
        )
    tools = _tools(request)
    if isinstance(tools, ApiError):
        return tools
    schema = _answer_schema(request, tools)
    if isinstance(schema, ApiError):
        return schema
    uploads = _uploads(request)
    if isinstance(uploads, ApiError):
        return uploads
    asked_tokens = request.max_completion_tokens or request.max_tokens
    asked_as = "max_completion_tokens" if request.max_completion_tokens else "max_tokens"
    options = sampling(
        request,
        asked_tokens=asked_tokens,
        asked_as=asked_as,
        max_tokens=max_tokens,
        logprobs=(request.top_logprobs or 0) if request.logprobs else None,
    )
    if isinstance(options, ApiError):
        return options
    include_usage, obfuscate = stream_options(request)
    return Ask(
        model=request.model,
        sampling=msgspec.structs.replace(options, json_schema=schema.text) if schema else options,
        messages=tuple(_plain(message) for message in request.messages),
        asked_as=asked_as if asked_tokens else "",
        stream=bool(request.stream),
        include_usage=include_usage,
        obfuscate=obfuscate,
        store=(request.metadata or {}) if request.store else None,
        runs={
            index: runs
            for index, one in enumerate(request.messages)
            if (runs := _runs(one.content or ""))
        },
        uploads=uploads,
        tools=tools,
        schema=schema,
    )


def _answer_schema(request: ChatRequest, tools: ToolUse | None) -> Schema | ApiError | None:
    """Return what the answer is held to, or why that is refused; None for any text."""
    schema = answer_schema(request.response_format)
    if schema is None or isinstance(schema, ApiError):
        return schema
    if tools is not None and tools.offered:
        return bad_request(
            "invalid_parameter", "an answer has a form or may call tools, not both", PARAM
        )
    if request.stop:
        return bad_request(
            "invalid_parameter", "an answer that a stop sequence cuts has not the form that is "
            "asked for", "stop",
        )  # fmt: skip
    return schema


def _tools(request: ChatRequest) -> ToolUse | ApiError | None:
    """Return what a request says of tools, or why it is refused; None if it says nothing."""
    for index, one in enumerate(request.messages):
        if one.content is None and not (one.role == "assistant" and one.tool_calls):
            return bad_request(
                "missing_parameter", "the parameter 'content' is required",
                f"messages[{index}].content",
            )  # fmt: skip
    tools = tool_use(request, [(one.role, one) for one in request.messages])
    if not isinstance(tools, ToolUse) or not tools.offered:
        return tools
    if request.logprobs:
        return bad_request(
            "invalid_parameter", "there are no log-probabilities where tools may be called",
            "logprobs",
        )  # fmt: skip
    if tools.is_forced and request.stop:
        return bad_request("invalid_parameter", "a call that a stop sequence cuts is none", "stop")
    return tools


def _uploads(request: ChatRequest) -> tuple[Upload, ...] | ApiError:
    """Return the files of a conversation in their order, or why one of them is refused."""
    found: list[Upload] = []
    for index, message in enumerate(request.messages):
        content = message.content
        if content is None or isinstance(content, str):
            continue
        for place, part in enumerate(content):
            if isinstance(part, TextPart):
                continue
            param = f"messages[{index}].content[{place}]"
            if message.role != "user":
                return bad_request(
                    "invalid_parameter", "images and audio are a user's to send", param
                )
            if len(found) == UPLOADS_MAX:
                return bad_request(
                    "too_many_media", f"a request has at most {UPLOADS_MAX} images and audio", param
                )
            upload = parse_upload(part, param)
            if isinstance(upload, ApiError):
                return upload
            found.append(upload)
    return tuple(found)


def _plain(message: ChatMessage) -> Message:
    content = message.content or ""
    media: tuple[int, ...] = ()
    if not isinstance(content, str):
        pieces, media = _pieces(content)
        content = "".join(text for text, _ in pieces)
    # Chat templates know `system`; `developer` is OpenAI's newer word for it.
    role = "system" if message.role == "developer" else message.role
    return Message(role=role, content=content, media=media)


def _runs(content: str | tuple[ContentPart, ...]) -> tuple[tuple[str, bool], ...]:
    """Return a message's text in pieces; () if all of it is the caller's and one text."""
    if isinstance(content, str):
        return ()
    pieces, media = _pieces(content)
    return pieces if media or any(untrusted for _, untrusted in pieces) else ()


def _pieces(
    content: tuple[ContentPart, ...],
) -> tuple[tuple[tuple[str, bool], ...], tuple[int, ...]]:
    """Return texts with whether each is untrusted, and how many characters are before each medium.

    Parts that are alike are looked at as one text: what is forbidden could be cut in two else.
    """
    pieces: list[tuple[str, bool]] = []
    media: list[int] = []
    for kind, parts in groupby(content, key=_kind):
        if kind is None:
            media += [sum(len(text) for text, _ in pieces)] * len(tuple(parts))
            continue
        text = "".join(part.text for part in parts if isinstance(part, TextPart))
        if text:
            pieces.append((text, kind))
    return tuple(pieces), tuple(media)


def _kind(part: ContentPart) -> bool | None:
    """Return whether a text is untrusted; None for a medium."""
    return part.untrusted if isinstance(part, TextPart) else None
