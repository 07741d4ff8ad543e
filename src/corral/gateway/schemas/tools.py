"""Tools, their calls and their results in a chat request: what may be sent.

Trust: gateway [net]. Input: hostile JSON. Functions only. Their names, descriptions and number are
bounded by the types, all of it together by `DECLARED_MAX`, schemas by `guard.json_schema` before
anything is made of them; a result belongs to an earlier call that has none yet. Spec: OpenAI API
reference, chat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from corral.gateway.errors import ApiError, bad_request
from corral.gateway.schemas.fields import SamplingFields
from corral.guard.json_schema import SchemaError, parse_schema
from corral.guard.json_text import JsonError, check_value, read_json
from corral.guard.schema_reading import PATTERNS_MAX
from corral.guard.tool_frames import call_text, declaration
from corral.guard.tool_schema import calls_schema
from corral.guard.tool_use import NAME, TOOLS_MAX, Choice, Tool, ToolUse

ARGUMENTS_MAX: Final = 64 * 1024
CALLED_VALUES_MAX: Final = 16 * 1024
"""Values and names in the arguments of all earlier calls together."""
DECLARED_MAX: Final = 64 * 1024
"""Characters of all declarations together, as JSON."""
ToolName = Annotated[str, msgspec.Meta(pattern=NAME)]


class FunctionDeclaration(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a function is called, does and takes.

    Attributes:
        strict: taken and without effect: arguments are always held against the schema.
    """

    name: ToolName
    description: Annotated[str, msgspec.Meta(max_length=8192)] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolDeclaration(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One tool.

    Attributes:
        sensitive: a field of corral's own: it does harm in wrong hands.
        untrusted: a field of corral's own: strangers have written this declaration.
    """

    type: Literal["function"]
    function: FunctionDeclaration
    sensitive: bool = False
    untrusted: bool = False


class CalledFunction(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A function and its arguments, as JSON."""

    name: ToolName
    arguments: Annotated[str, msgspec.Meta(max_length=ARGUMENTS_MAX)]


class EarlierCall(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One call of an earlier answer."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    type: Literal["function"]
    function: CalledFunction


class NamedFunction(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The function that must be called."""

    name: ToolName


class NamedChoice(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


Tools = Annotated[tuple[ToolDeclaration, ...], msgspec.Meta(max_length=TOOLS_MAX)]
EarlierCalls = Annotated[tuple[EarlierCall, ...], msgspec.Meta(max_length=TOOLS_MAX)]
ToolChoice = Choice | NamedChoice
Confirmed = bool | Annotated[tuple[ToolName, ...], msgspec.Meta(max_length=TOOLS_MAX)]


class MessageToolFields(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What of a message is about tools."""

    tool_calls: EarlierCalls | None = None
    tool_call_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None


class ToolFields(SamplingFields, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What of a request is about tools.

    Attributes:
        confirm_sensitive_tools: a field of corral's own: these may be called, whatever strangers
            have written; true for all.
    """

    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    confirm_sensitive_tools: Confirmed | None = None


Message = tuple[str, MessageToolFields]
"""The role of a message, and what of it is about tools."""

_NOTHING: Final[Mapping[str, object]] = {"type": "object", "properties": {}}
"""What a tool without parameters takes."""


def tool_use(request: ToolFields, messages: Sequence[Message]) -> ToolUse | ApiError | None:
    """Return what a request says of tools, or why it is refused; None if it says nothing."""
    tools = _declared(request.tools or ())
    called = _called(messages)
    if isinstance(tools, ApiError):
        return tools
    if isinstance(called, ApiError):
        return called
    choice = request.tool_choice or "auto"
    named = choice.function.name if isinstance(choice, NamedChoice) else ""
    if named and named not in {one.name for one in tools}:
        return _wrong("tool_choice", "names a tool that is not declared")
    if choice == "required" and not tools:
        return _wrong("tool_choice", "needs tools")
    if not tools and not any(role == "tool" or one.tool_calls for role, one in messages):
        return None
    confirmed = request.confirm_sensitive_tools or False
    use = ToolUse(
        tools=tools,
        choice="required" if isinstance(choice, NamedChoice) else choice,
        named=named,
        parallel=request.parallel_tool_calls is not False,
        confirmed=confirmed if isinstance(confirmed, bool) else frozenset(confirmed),
        called=called,
    )
    try:
        if use.is_forced:
            calls_schema(use)
    except SchemaError as error:
        return bad_request(error.code, error.message, error.param)
    return use


def _declared(tools: Sequence[ToolDeclaration]) -> tuple[Tool, ...] | ApiError:
    found: dict[str, Tool] = {}
    size, patterns_left = 0, PATTERNS_MAX
    for place, one in enumerate(tools):
        function = one.function
        if function.name in found:
            return _wrong(f"tools[{place}].function.name", "is declared twice")
        declared = declaration(function.name, function.description, function.parameters)
        size += len(declared)
        if size > DECLARED_MAX:
            return _wrong("tools", f"are longer than {DECLARED_MAX} characters together")
        param = f"tools[{place}].function.parameters"
        parameters = function.parameters or _NOTHING
        if parameters.get("type") != "object":
            return _wrong(f"{param}.type", "is not 'object'")
        try:
            schema = parse_schema(parameters, param, patterns_max=patterns_left)
        except SchemaError as error:
            return bad_request(error.code, error.message, error.param)
        patterns_left -= schema.patterns
        found[function.name] = Tool(
            name=function.name,
            place=place,
            declared=declared,
            schema=schema,
            parameters=parameters,
            sensitive=one.sensitive,
            untrusted=one.untrusted,
        )
    return tuple(found.values())


def _called(messages: Sequence[Message]) -> Mapping[int, tuple[str, ...]] | ApiError:
    """Return the earlier calls by message, if each result is that of a call before it."""
    called: dict[int, tuple[str, ...]] = {}
    values_left = CALLED_VALUES_MAX
    open_ids: set[str] = set()
    for index, (role, message) in enumerate(messages):
        place = f"messages[{index}]"
        if role != "tool" and message.tool_call_id is not None:
            return _wrong(f"{place}.tool_call_id", "belongs to messages of the role 'tool'")
        if role != "assistant" and message.tool_calls is not None:
            return _wrong(f"{place}.tool_calls", "belongs to messages of the role 'assistant'")
        if role == "tool":
            if message.tool_call_id not in open_ids:
                return _wrong(f"{place}.tool_call_id", "is of no earlier call without a result")
            open_ids.remove(message.tool_call_id)
        elif message.tool_calls:
            read = _texts(message.tool_calls, place, values_left)
            if isinstance(read, ApiError):
                return read
            called[index], values_left = read
            open_ids |= {one.id for one in message.tool_calls}
    return called


def _texts(
    calls: Sequence[EarlierCall], place: str, values_left: int
) -> tuple[tuple[str, ...], int] | ApiError:
    """Return what was called, and how many values the calls after it may have."""
    texts: list[str] = []
    for number, one in enumerate(calls):
        arguments = _object(one.function.arguments, values_left)
        if arguments is None:
            param = f"{place}.tool_calls[{number}].function.arguments"
            return _wrong(param, "is not a JSON object, or has too many values")
        values_left -= check_value(arguments)
        texts.append(call_text(one.function.name, arguments))
    if len({one.id for one in calls}) < len(calls):
        return _wrong(f"{place}.tool_calls", "has an id twice")
    return tuple(texts), values_left


def _object(text: str, values_max: int) -> dict[str, object] | None:
    try:
        found = read_json(text, values_max=values_max)
    except JsonError:
        return None
    return found if isinstance(found, dict) else None


def _wrong(param: str, why: str) -> ApiError:
    return bad_request("invalid_parameter", f"'{param}' {why}", param)
