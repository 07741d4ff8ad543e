"""Which calls of an answer a client gets, and with what arguments.

Trust: gateway [net]. Input: calls as a hostile model has written them. A call goes on only if its
tool was declared and offered, its arguments are what the tool takes, and nothing speaks against it:
a sensitive tool in a conversation that holds texts of strangers needs the caller's confirmation,
for who wrote such a text may be the one who calls. The arguments go through the policy's way out,
text by text, as they will be read (JSON's escapes undone), and are written anew.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from typing import Final, TypeVar

import msgspec

from corral.guard.call_parser import Malformed, Wanted
from corral.guard.finding import Handling
from corral.guard.json_text import JsonError, check_value
from corral.guard.options import Options
from corral.guard.output_judge import OutputJudge
from corral.guard.tool_policy import is_sensitive
from corral.guard.tool_use import Tool, ToolCall, ToolUse, Withheld

VALUES_MAX: Final = 1024
"""Of one call; each is looked at by itself."""
CHECK_CHARACTERS: Final = 2048
"""What it costs at most to hold a call against its schema, as so many characters looked at: a small
call may take all steps of a check, and an answer may hold any number of small calls.
"""
_T = TypeVar("_T")
Work = Generator[int, None, _T]
"""Work that may take long: it yields how many characters it has looked at since the last time."""
_encode: Final = msgspec.json.Encoder().encode


class CallRules:
    """The calls of one answer.

    Args:
        use: tools of the request.
        options: of its policy.
        tainted: it holds texts of strangers.
        judge: of the answer.
        clean: takes one text through the way out.
    """

    def __init__(
        self,
        use: ToolUse,
        options: Options,
        judge: OutputJudge,
        clean: Callable[[str], Work[str]],
        *,
        tainted: bool,
    ) -> None:
        self._use = use
        self._tools = {tool.name: tool for tool in use.offered}
        self._options = options
        self._tainted = tainted
        self._judge = judge
        self._clean = clean
        self._sent = 0

    def take(self, wanted: Wanted | Malformed) -> Work[ToolCall | Withheld | None]:
        """Return the call as a client gets it, or that it gets none; None: the answer has ended."""
        if isinstance(wanted, Malformed):
            return self._withhold("tool_malformed", "")
        tool = self._tools.get(wanted.name)
        if tool is None:
            return self._withhold("tool_unknown", "")
        if self._sent >= self._use.calls_max:
            return self._withhold("tool_surplus", tool.name)
        yield CHECK_CHARACTERS
        if not _is_small(wanted.arguments) or not tool.fits(wanted.arguments):
            return self._withhold("tool_arguments", tool.name)
        if self._needs_confirmation(tool) and self._stops("tool_needs_confirmation"):
            return Withheld("tool_needs_confirmation", tool.name)
        arguments = yield from self._cleaned(wanted.arguments)
        if self._judge.stopped:
            return None
        if arguments != wanted.arguments and not tool.fits(arguments):
            return self._withhold("tool_arguments", tool.name)
        self._sent += 1
        written = _encode(arguments).decode()
        return ToolCall(f"call_{secrets.token_hex(12)}", tool.name, written)

    def _withhold(self, kind: str, name: str) -> Withheld:
        self._judge.found(kind)
        return Withheld(kind, name)

    def _stops(self, kind: str) -> bool:
        """Count what a policy may let pass, and return whether it does not."""
        return self._judge.wants(kind) and self._judge.found(kind) is not Handling.REPORT

    def _needs_confirmation(self, tool: Tool) -> bool:
        sensitive = tool.sensitive or is_sensitive(tool.name, self._options)
        return self._tainted and sensitive and not self._use.confirms(tool.name)

    def _cleaned(self, value: object) -> Work[object]:
        """Return a value with each of its texts as it may go out; a number is one as well."""
        if isinstance(value, dict):
            members: dict[str, object] = {}
            for key, one in value.items():
                name = yield from self._clean(str(key))
                members[name] = yield from self._cleaned(one)
            return members
        if isinstance(value, list):
            items: list[object] = [None] * len(value)
            for place, one in enumerate(value):
                items[place] = yield from self._cleaned(one)
            return items
        if isinstance(value, str):
            return (yield from self._clean(value))
        if isinstance(value, bool) or value is None:
            return value
        written = _encode(value).decode()
        cleaned = yield from self._clean(written)
        return value if cleaned == written else cleaned


def _is_small(arguments: object) -> bool:
    try:
        check_value(arguments, values_max=VALUES_MAX)
    except JsonError:
        return False
    return True
