"""How tools, calls and results are written for a model, whatever its chat template knows of them.

Trust: gateway [net]; pure. Input: texts of callers, tools and models, hostile. The form is that of
Hermes and Qwen: declarations in the system prompt, calls and results as messages, each in a frame
of its own. Nothing inside of a frame can end it: in JSON `<` is written as an escape, and in any
other text the names of the frames lose their `<` (`defused`). The frames are text to the model, no
control tokens (ADR 31): a model can be talked into anything, but not by a frame that looks real.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from corral.guard.tool_use import ToolUse

OPEN: Final = "<tool_call>"
CLOSE: Final = "</tool_call>"
_FRAME: Final = re.compile(r"<(?=[\s/]{0,8}(?:tool_call|tool_response|tools)\b)", re.IGNORECASE)
_encode: Final = msgspec.json.Encoder().encode

_TOOLS: Final = (
    "# Tools\n\nYou may call functions to answer the user. These are their signatures, one JSON "
    "object in each line between <tools></tools>:\n<tools>\n{declared}\n</tools>\n\n"
)
_FREELY: Final = (
    "To call a function, write a JSON object with its name and arguments between <tool_call>"
    '</tool_call>:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call>"
)
_ONE: Final = (
    "Answer with one JSON object, which is the call of a function, and nothing else:\n"
    '{"name": <function-name>, "arguments": <args-json-object>}'
)
_SEVERAL: Final = (
    "Answer with a JSON list of calls of functions and nothing else:\n"
    '[{"name": <function-name>, "arguments": <args-json-object>}]'
)
_ONE_ONLY: Final = "\nCall at most one function in an answer."


def declaration(name: str, description: str | None, parameters: Mapping[str, object] | None) -> str:
    """Return a tool's declaration as JSON in one line."""
    function: dict[str, object] = {"name": name}
    if description:
        function["description"] = description
    if parameters:
        function["parameters"] = parameters
    return _encode({"type": "function", "function": function}).decode()


def call_text(name: str, arguments: Mapping[str, object]) -> str:
    """Return a call as JSON in one line."""
    return _encode({"name": name, "arguments": arguments}).decode()


def tools_prompt(use: ToolUse) -> str:
    """Return what a model is told of the tools that it may call."""
    declared = "\n".join(_in_json(one.declared) for one in use.offered)
    told = _TOOLS.replace("{declared}", declared)
    if use.is_forced:
        return told + (_ONE if use.calls_max == 1 else _SEVERAL)
    return told + _FREELY + (_ONE_ONLY if use.calls_max == 1 else "")


def framed_calls(content: str, calls: Sequence[str]) -> str:
    """Return an assistant's earlier message: what it said, and what it called.

    Args:
        content: already defused.
        calls: as `call_text` gives them, and sanitised.
    """
    frames = (f"{OPEN}\n{_in_json(one)}\n{CLOSE}" for one in calls)
    return "\n".join((content, *frames) if content else frames)


def framed_result(text: str) -> tuple[str, int]:
    """Return what a tool has answered, already defused, as it is shown; and where it begins."""
    opened = "<tool_response>\n"
    return f"{opened}{text}\n</tool_response>", len(opened)


def defused(text: str) -> str:
    """Return a text in which no frame begins or ends."""
    return _FRAME.sub("&lt;", text) if "<" in text else text


def _in_json(text: str) -> str:
    r"""Write the `<` and `>` of JSON as escapes: they stand in strings only."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e")
