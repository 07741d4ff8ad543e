"""The tools of one request: what is declared, what a model may call, what it called before.

Trust: gateway [net]; pure. Input: made by a dialect's parser from a checked schema; names are of
`NAME`, texts are the caller's and hostile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from corral.guard.finding import Origin, Part
from corral.guard.json_schema import Schema

NAME: Final = r"^[a-zA-Z0-9_-]{1,64}\Z"
"""What a tool may be called (OpenAI's API)."""
TOOLS_MAX: Final = 128
CALLS_MAX: Final = 16
"""Of one answer."""

Choice = Literal["auto", "none", "required"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One function that the caller declares.

    Attributes:
        name: of `NAME`.
        place: its number among those that the caller declared.
        declared: its declaration, JSON in one line, as the model is shown it.
        schema: what its arguments must be.
        parameters: the same as the caller sent it; None for no arguments.
        sensitive: the caller says that it does harm in wrong hands.
        untrusted: the caller says that strangers have written the declaration.
    """

    name: str
    place: int
    declared: str
    schema: Schema
    parameters: Mapping[str, object] | None = None
    sensitive: bool = False
    untrusted: bool = False

    def fits(self, arguments: object) -> bool:
        """Return whether arguments are what the tool takes."""
        return self.schema.check(arguments) is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """What a request says of tools.

    Attributes:
        tools: as they were declared.
        choice: whether a model may call, and whether it must.
        named: the only tool that it must call; empty for any.
        parallel: it may call several in one answer.
        confirmed: sensitive tools that it may call whatever it has read; True for all.
        called: earlier calls by message of the assistant: JSON of name and arguments.
    """

    tools: tuple[Tool, ...] = ()
    choice: Choice = "auto"
    named: str = ""
    parallel: bool = True
    confirmed: bool | frozenset[str] = False
    called: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def offered(self) -> tuple[Tool, ...]:
        """Return the tools that the model may call."""
        if self.choice == "none":
            return ()
        return tuple(one for one in self.tools if self.named in {"", one.name})

    @property
    def is_forced(self) -> bool:
        """Return whether the answer is calls and nothing else."""
        return self.choice == "required"

    @property
    def calls_max(self) -> int:
        """Return how many calls an answer may hold."""
        return CALLS_MAX if self.parallel and not self.named else 1

    def confirms(self, name: str) -> bool:
        """Return whether the caller confirms calls of a sensitive tool."""
        return self.confirmed if isinstance(self.confirmed, bool) else name in self.confirmed

    def parts(self) -> Iterator[Part]:
        """Yield the declarations; to the sanitation they are a user's texts, or strangers'."""
        for tool in self.tools:
            origin: Origin = "document" if tool.untrusted else "user"
            yield Part(f"tools[{tool.place}].function", tool.declared, origin, is_framed=True)

    def called_parts(self, message: int) -> Iterator[Part]:
        """Yield the earlier calls of a message."""
        for number, text in enumerate(self.called.get(message, ())):
            param = f"messages[{message}].tool_calls[{number}].function"
            yield Part(param, text, "assistant")

    def saying(self, declared: Sequence[str], called: Mapping[int, tuple[str, ...]]) -> ToolUse:
        """Return the same with other texts of declarations and of earlier calls."""
        tools = tuple(
            replace(tool, declared=text) for tool, text in zip(self.tools, declared, strict=True)
        )
        return replace(self, tools=tools, called=called)

    def without(self, names: frozenset[str]) -> ToolUse:
        """Return the same without some tools."""
        return replace(self, tools=tuple(one for one in self.tools if one.name not in names))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that a client gets.

    Attributes:
        id: ours.
        arguments: JSON of ours, of what the model said.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """One call that a client does not get.

    Attributes:
        kind: why, of `guard.kinds.KINDS`.
        name: of the tool; empty if it is none of the caller's.
    """

    kind: str
    name: str
