"""Where what messages say, their number or the date goes in a template, through its assignments.

Trust: scan jail; pure functions. Input: untrusted trees.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from jinja2 import nodes

from corral.admission.template.syntax import Template, walk

CONTENT: Final = frozenset({"content", "text"})
_DATES: Final = frozenset({"strftime_now"})
_DATE_NAMES: Final = re.compile(r"(?:^|_)(?:date|datetime|today|now|time|year|month)(?:_|$)")
_MANGLING: Final = frozenset({
    "int", "float", "wordcount", "reverse", "sort", "unique", "batch", "slice", "groupby", "sum",
    "min", "max", "dictsort", "isupper", "islower", "isdigit", "isalpha", "isalnum", "isspace",
    "upper", "lower", "odd", "even", "divisibleby",
})  # fmt: skip
"""Filters, methods and tests that look into a text where no search names what for."""


class Flow:
    """Names and attributes of namespaces that hold what a source gives."""

    def __init__(self, template: Template, is_source: Callable[[nodes.Node], bool]) -> None:
        self._is_source = is_source
        self._held: set[str] = set()
        stores = [
            (path, value) for node, _, _ in walk(template.tree) for path, value in _stores(node)
        ]
        for _ in range(6):  # assignments of assignments
            before = len(self._held)
            for path, value in stores:
                if path not in self._held and self.holds(value):
                    self._held.add(path)
            if len(self._held) == before:
                return

    def holds(self, node: nodes.Node) -> bool:
        """Return whether an expression is worth what the source gives, or a part of it."""
        waiting: list[nodes.Node] = [node]
        while waiting:
            part = waiting.pop()
            if self._is_source(part) or _path(part) in self._held:
                return True
            if isinstance(part, nodes.Test | nodes.Compare | nodes.Not):
                continue
            if isinstance(part, nodes.CondExpr):
                waiting += [one for one in (part.expr1, part.expr2) if one is not None]
                continue
            if isinstance(part, nodes.Call) and isinstance(part.node, nodes.Getattr):
                waiting += [part.node.node, *part.args]
            elif not _is_attribute(part):  # what a message's other attributes say is its shape
                waiting += part.iter_child_nodes()
        return False


def is_content(node: nodes.Node) -> bool:
    """Return whether it is what a message says."""
    match node:
        case nodes.Getattr(attr=name) | nodes.Getitem(arg=nodes.Const(value=str(name))):
            return name in CONTENT
    return False


def is_date(node: nodes.Node) -> bool:
    """Return whether it is a date."""
    match node:
        case nodes.Name(name=name, ctx="load"):
            return name in _DATES or bool(_DATE_NAMES.search(name))
    return False


def is_messages(node: nodes.Node) -> bool:
    """Return whether it is the conversation."""
    return isinstance(node, nodes.Name) and node.name == "messages"


def is_counted(node: nodes.Node) -> bool:
    """Return whether it is a length, or a number that is calculated."""
    match node:
        case nodes.Filter(name="length" | "count") | nodes.Name(name="loop"):
            return True
    return isinstance(node, nodes.Add | nodes.Sub | nodes.Mul)


def mangles(content: Flow) -> Callable[[nodes.Node], bool]:
    """Return a source: whether an expression is made of a message's inner parts."""

    def is_mangled(node: nodes.Node) -> bool:
        match node:
            case nodes.Getitem(node=of, arg=nodes.Slice(start=start)):
                return start is not None and content.holds(of)
            case nodes.Filter(node=nodes.Expr() as of, name=name) if name in _MANGLING:
                # Parts of a message are sorted by an attribute.
                return not any(k.key == "attribute" for k in node.kwargs) and content.holds(of)
            case nodes.Call(node=nodes.Getattr(node=of, attr=name)) if name in _MANGLING:
                return content.holds(of)
            case nodes.Test(node=of, name=name) if name in _MANGLING:
                return content.holds(of)
        return False

    return is_mangled


def _is_attribute(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
    return isinstance(node, nodes.Getattr)


def _stores(node: nodes.Node) -> Iterator[tuple[str, nodes.Node]]:
    match node:
        case nodes.Assign():
            yield _path(node.target), node.node
        case nodes.AssignBlock():
            for part in node.body:
                yield _path(node.target), part
        case nodes.For():
            yield _path(node.target), node.iter
        case nodes.Call(node=nodes.Name(name="namespace" | "dict")):
            # The name of the namespace is not known here: any attribute of this name counts.
            for keyword in node.kwargs:
                yield f".{keyword.key}", keyword.value


def _path(node: nodes.Node) -> str:
    match node:
        case nodes.Name(name=name):
            return str(name)
        case nodes.NSRef():
            return f".{node.attr}"
        case nodes.Getattr():
            return f".{node.attr}"
    return ""
