"""What a caller asks of a model, whatever dialect it was asked in.

Trust: gateway [net]. Input: made by a dialect's parser from a checked schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain
from typing import Final, NamedTuple, Protocol

import msgspec

from corral.engine.wire import End, Message, Sampling, TokenLogprob, Usage
from corral.gateway.tool_prompt import with_tools
from corral.guard.canary import with_canary
from corral.guard.finding import STRANGERS, Origin, Part
from corral.guard.json_schema import Schema
from corral.guard.tool_frames import framed_calls
from corral.guard.tool_schema import calls_schema
from corral.guard.tool_use import ToolCall, ToolUse, Withheld
from corral.media.upload import Upload

_ORIGINS: Final[Mapping[str, Origin]] = {
    "system": "system", "user": "user", "assistant": "assistant", "tool": "tool"
}  # fmt: skip
"""By role; what is no role of a schema raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One completion to make: of `messages` or of `prompt`, one of the two.

    Attributes:
        asked_as: field by which the caller bounded the answer; empty if it did not.
        stream: send the answer as it comes.
        include_usage: end a stream with token counts.
        obfuscate: pad each event of a stream.
        store: keep the completion, with this metadata; None keeps nothing.
        runs: by message that has untrusted text or media: its text in pieces, none of them empty,
            and whether each is untrusted; every medium stands between two pieces, or at an end.
        uploads: images and sounds of the messages, in their order, as the caller sent them; none
            of them goes on to a model.
        media: what was made of them anew, one for each.
        tools: what it says of tools; None if it says nothing of them.
        schema: what the answer is held to; None for any text.
    """

    model: str
    sampling: Sampling
    messages: tuple[Message, ...] | None = None
    prompt: str | None = None
    asked_as: str = ""
    stream: bool = False
    include_usage: bool = False
    obfuscate: bool = True
    store: Mapping[str, str] | None = None
    runs: Mapping[int, tuple[tuple[str, bool], ...]] = field(default_factory=dict)
    uploads: tuple[Upload, ...] = field(default=(), repr=False)
    media: tuple[bytes, ...] = field(default=(), repr=False)
    tools: ToolUse | None = None
    schema: Schema | None = None

    @property
    def is_tainted(self) -> bool:
        """Return whether strangers may have written some of what the model reads."""
        pictured = bool(self.uploads or self.media)  # what is said in one, nobody here has read
        return pictured or any(part.origin in STRANGERS for part in self.parts())

    @property
    def text_param(self) -> str:
        """Name the field that holds what the model reads."""
        return "prompt" if self.messages is None else "messages"

    def parts(self) -> Iterator[Part]:
        """Yield everything the model will read."""
        if self.prompt is not None:
            yield Part("prompt", self.prompt, "user")
        tools = self.tools or ToolUse()
        yield from tools.parts()
        for index, message in enumerate(self.messages or ()):
            param, origin = f"messages[{index}].content", _ORIGINS[message.role]
            for text, untrusted in self.runs.get(index, ((message.content, False),)):
                yield Part(param, text, "document" if untrusted else origin)
            yield from tools.called_parts(index)

    def saying(self, texts: Sequence[str]) -> Ask:
        """Return the same with other texts, one for each of `parts`."""
        if self.messages is None:
            (prompt,) = texts
            return replace(self, prompt=prompt)
        said, tools = iter(texts), self.tools or ToolUse()
        declared = [next(said) for _ in tools.tools]
        runs: dict[int, tuple[tuple[str, bool], ...]] = {}
        called: dict[int, tuple[str, ...]] = {}
        for index in range(len(self.messages)):
            pieces = self.runs.get(index, (("", False),))
            runs[index] = tuple((next(said), untrusted) for _, untrusted in pieces)
            if index in tools.called:
                called[index] = tuple(next(said) for _ in tools.called[index])
        messages = tuple(
            Message(
                message.role,
                "".join(text for text, _ in runs[index]),
                self._moved(index, [len(text) for text, _ in runs[index]]),
            )
            for index, message in enumerate(self.messages)
        )
        return replace(
            self,
            messages=messages,
            runs={index: runs[index] for index in self.runs},
            tools=self.tools and self.tools.saying(declared, called),
        )

    def without_tools(self, names: frozenset[str]) -> Ask:
        """Return the same without some tools."""
        if self.tools is None or not names:
            return self
        return replace(self, tools=self.tools.without(names))

    def as_read(self) -> Ask:
        """Return the same with tools, calls and results in the messages, as a model reads them."""
        if self.tools is None or self.messages is None:
            return self
        sampling = self.sampling
        if self.tools.is_forced:
            schema = calls_schema(self.tools).text
            sampling = msgspec.structs.replace(sampling, json_schema=schema)
        messages = with_tools(self.messages, self.tools)
        return replace(self, messages=messages, sampling=sampling)

    def told(self) -> Iterator[tuple[Message, str]]:
        """Yield each message and its text, with the calls that it made."""
        called = (self.tools or ToolUse()).called
        for index, message in enumerate(self.messages or ()):
            yield message, framed_calls(message.content, called.get(index, ()))

    def _moved(self, index: int, lengths: Sequence[int]) -> tuple[int, ...]:
        """Return where the media of a message stand once its pieces have these lengths."""
        message = (self.messages or ())[index]
        if not message.media:
            return ()
        old = [len(text) for text, _ in self.runs.get(index, ((message.content, False),))]
        ends = dict(zip(accumulate(old, initial=0), accumulate(lengths, initial=0), strict=True))
        return tuple(ends[place] for place in message.media)

    def with_canary(self, canary: str) -> Ask:
        """Return the same with a canary behind the last system message; as it is without one."""
        messages = list(self.messages or ())
        places = [n for n, one in enumerate(messages) if _ORIGINS[one.role] == "system"]
        if not places:
            return self
        last = messages[places[-1]]
        messages[places[-1]] = Message(last.role, with_canary(last.content, canary), last.media)
        return replace(self, messages=tuple(messages))

    def joined(self) -> Iterator[Part]:
        """Yield the texts that were put together of several parts, as the model will read them."""
        for index in self.runs:
            message = (self.messages or ())[index]
            yield Part(f"messages[{index}].content", message.content, _ORIGINS[message.role])


class Said(NamedTuple):
    """A piece of an answer, or all of it."""

    text: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    calls: tuple[ToolCall, ...] = ()


def together(pieces: Iterable[Said]) -> Said:
    """Return the pieces of an answer as one."""
    texts, logprobs, calls = zip(*pieces, strict=True)
    return Said("".join(texts), tuple(chain(*logprobs)), tuple(chain(*calls)))


class Shape(Protocol):
    """The answer to one request in its dialect's JSON."""

    def head(self) -> bytes:
        """Return the events that open a stream; may be empty."""

    def delta(self, said: Said) -> bytes:
        """Return the events of a piece of the answer."""

    def tail(self, end: End, withheld: Sequence[Withheld]) -> bytes:
        """Return the events that end a stream, without `[DONE]`."""

    def whole(self, said: Said, end: End, withheld: Sequence[Withheld]) -> bytes:
        """Return the body of an answer that is not streamed."""


CONTENT_FILTER: Final = "content_filter"
"""The end of an answer that the policy has ended; no worker may say it."""
TOOL_CALLS: Final = "tool_calls"
"""The end of an answer that calls tools; no worker may say it."""
_TOLD: Final = frozenset({"length", CONTENT_FILTER, TOOL_CALLS})


def finish_reason(end: End) -> str:
    """Return OpenAI's word for the end of an answer."""
    return end.reason if end.reason in _TOLD else "stop"


def usage_fields(usage: Usage) -> dict[str, object]:
    """Return OpenAI's `usage` object."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
