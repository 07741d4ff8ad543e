"""What a policy says of tools, by their names.

Trust: gateway [net]; pure. Input: names of `tool_use.NAME`, patterns of an operator: names in which
`*` stands for any characters.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from corral.guard.finding import Finding, Handling
from corral.guard.input_chain import Seen
from corral.guard.options import Options
from corral.guard.policy import SanitationPolicy
from corral.guard.tool_use import ToolUse


class Against(NamedTuple):
    """What a policy has against the tools of a request.

    Attributes:
        names: of tools that the model is not shown: a call of one is a call of an unknown tool.
        seen: what it found.
        refused: for what the request is refused; None if it is not.
    """

    names: frozenset[str] = frozenset()
    seen: tuple[Seen, ...] = ()
    refused: Seen | None = None


def denied_tools(use: ToolUse | None, policy: SanitationPolicy) -> Against:
    """Return what a policy has against the tools of a request.

    Refused is also a request that must have a call, of tools of which none is left.
    """
    denied = [one for one in use.tools if is_denied(one.name, policy.options)] if use else []
    handling, done = policy.handling["tool_denied"], policy.effective()["tool_denied"]
    if use is None or not denied or handling is Handling.ALLOW:
        return Against()
    seen = tuple(
        Seen(
            f"tools[{one.place}].function.name", Finding("tool_denied", 0, len(one.name)), handling
        )
        for one in denied
    )
    if done is Handling.REPORT:
        return Against(seen=seen)
    names = frozenset(one.name for one in denied)
    refused = done is Handling.REFUSE or (use.is_forced and not use.without(names).offered)
    return Against(names, seen, seen[0] if refused else None)


def is_denied(name: str, options: Options) -> bool:
    """Return whether a policy lets no model call a tool."""
    return matches(name, options.tools_denied) or not matches(name, options.tools_allowed)


def is_sensitive(name: str, options: Options) -> bool:
    """Return whether a policy says that a tool does harm in wrong hands."""
    return matches(name, options.tools_sensitive)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name is of one of the patterns."""
    return any(fnmatchcase(name, one) for one in patterns)
