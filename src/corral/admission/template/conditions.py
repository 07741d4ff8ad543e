"""Conditions that no chat template needs: on the words of a message, and on the date.

Trust: scan jail. Input: untrusted trees. Such a condition is how a template changes what the model
is told for some users only. What messages hold is followed through assignments; markers
(`</think>`, `[TOOL_CALLS]`) and emptiness may be asked for, words and lengths may not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from jinja2 import nodes

from corral.admission.report import Finding
from corral.admission.template.flow import (
    CONTENT,
    Flow,
    is_content,
    is_counted,
    is_date,
    is_messages,
    mangles,
)  # fmt: skip
from corral.admission.template.folding import Folder
from corral.admission.template.limits import TRIED_MESSAGES
from corral.admission.template.names import KINDS, SEARCHING
from corral.admission.template.syntax import Template, walk

_MARKER: Final = re.compile(
    r"<\|\w+\|>\w+(?=<\|)|[<\[\uff1c]/?[^<>\[\]]{0,80}[>\]\uff1e]|<[|/]?|/(?:no_?)?think\b"
)
_WORD: Final = re.compile(r"[^\W\d_]{2,}|\d{2,}|[^\W\d_][^\x00-\x7f]*")
_COMPARING: Final = frozenset({"eq", "equalto", "==", "ne", "!=", "in", "lt", "lessthan", "<", "le",
    "<=", "gt", "greaterthan", ">", "ge", ">=", "sameas"})  # fmt: skip
_PARTS: Final = 4
"""A message may be asked for whether it has this many parts."""
_MANGLED_REASON: Final = "the template decides by what a message is made of"
_FAR_REASON: Final = "the template counts further than can be tried"
_REPEATED_REASON: Final = "the template compares messages with each other"
_CONTENT_REASON: Final = "the template looks for words in a message"
_LENGTH_REASON: Final = "the template asks how long a message is"
_DATE_REASON: Final = "the template decides by the date"


def check_conditions(template: Template, folder: Folder) -> Iterator[Finding]:
    """Yield `template_injection` for each such condition."""
    asked = _Asked(template, folder)
    for node, _, _ in walk(template.tree):
        reason = asked.unseen(node) or asked.words(node)
        if reason:
            yield Finding("template_injection", "flag", reason, template.at(node))


class _Asked:
    """What the nodes of one template ask for."""

    def __init__(self, template: Template, folder: Folder) -> None:
        self._folder = folder
        self._content = Flow(template, is_content)
        self._date = Flow(template, is_date)
        self._mangled = Flow(template, mangles(self._content))
        self._counted = Flow(template, is_counted)
        self._messages = Flow(template, is_messages)

    def unseen(self, node: nodes.Node) -> str:
        """Return why no rendering would take the branch of a condition, or nothing."""
        match node:
            case nodes.If(test=asked) | nodes.CondExpr(test=asked):
                return _MANGLED_REASON if _any(asked, self._mangled.holds) else ""
            case nodes.Compare():
                sides = [node.expr, *(operand.expr for operand in node.ops)]
                if _counts_far(node, self._folder) and _any(node, self._counted.holds):
                    return _FAR_REASON
                if sum(self._content.holds(side) for side in sides) > 1:
                    return _REPEATED_REASON
            case nodes.Getitem(node=of, arg=nodes.Slice() | nodes.Const() as at):
                if _counts_far(at, self._folder) and self._messages.holds(of):
                    return _FAR_REASON
        return ""

    def words(self, node: nodes.Node) -> str:
        """Return why a condition asks for words, lengths or dates, or nothing."""
        match node:
            case nodes.Compare():
                return self._compare([node.expr, *(operand.expr for operand in node.ops)])
            case nodes.Test() if node.name in _COMPARING:
                return self._compare([node.node, *node.args])
            case nodes.Call(node=nodes.Getattr(attr="get") as method):
                if not self._content.holds(method.node):
                    return self._search([method.node, *node.args])
            case nodes.Call(node=nodes.Getattr(attr=name) as method) if name in SEARCHING:
                return self._search([method.node, *node.args])
            case nodes.Filter(name="replace") if node.node is not None:
                return self._search([node.node, *node.args])
            case nodes.Filter(name="select" | "reject" | "selectattr" | "rejectattr"):
                return _select(node, self._folder)
            case nodes.Getitem() if isinstance(node.node, nodes.Dict):
                return self._search([node.arg, *(pair.key for pair in node.node.items)])
        return ""

    def _compare(self, sides: list[nodes.Expr]) -> str:
        reason = self._search(sides)
        if reason or not any(self._content.holds(side) for side in sides):
            return reason
        parts = [p for side in sides for p, _, _ in walk(side) if isinstance(p, nodes.Expr)]
        numbers = [self._folder.integer(part) for part in parts]
        calculated = any(isinstance(part, nodes.Mod | nodes.Div | nodes.FloorDiv) for part in parts)
        if calculated or any(number is not None and number > _PARTS for number in numbers):
            return _LENGTH_REASON
        return ""

    def _search(self, sides: list[nodes.Expr]) -> str:
        folder = self._folder
        if any(map(self._date.holds, sides)) and any(_is_literal(s, folder) for s in sides):
            return _DATE_REASON
        if any(map(self._content.holds, sides)):
            for side in sides:
                if any(_has_word(text) for text in _texts(side, folder)):
                    return _CONTENT_REASON
        return ""


def _any(node: nodes.Node, holds: Callable[[nodes.Node], bool]) -> bool:
    return any(holds(part) for part, _, _ in walk(node) if isinstance(part, nodes.Expr))


def _counts_far(node: nodes.Node, folder: Folder) -> bool:
    numbers = (folder.integer(part) for part, _, _ in walk(node) if isinstance(part, nodes.Expr))
    return any(number is not None and abs(number) > TRIED_MESSAGES for number in numbers)


def _select(node: nodes.Filter, folder: Folder) -> str:
    attribute = folder.text(node.args[0]) if node.args else None
    by_content = attribute is not None and attribute.split(".")[-1] in CONTENT
    words = [t for argument in node.args[2:] for t in _texts(argument, folder)]
    return _CONTENT_REASON if by_content and any(map(_has_word, words)) else ""


def _is_literal(node: nodes.Node, folder: Folder) -> bool:
    value = folder.fold(node)
    return isinstance(value, str | int | float | list) and value not in ("", False, True)


def _texts(node: nodes.Expr, folder: Folder) -> Iterator[str]:
    value = folder.fold(node)
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))
    elif isinstance(node, nodes.List | nodes.Tuple):
        yield from (t for t in map(folder.text, node.items) if t is not None)
    elif isinstance(node, nodes.Dict):
        yield from (t for t in (folder.text(pair.key) for pair in node.items) if t is not None)
    elif isinstance(node, nodes.Filter) and node.node is not None:
        yield from _texts(node.node, folder)


def _has_word(text: str) -> bool:
    return text not in KINDS and bool(_WORD.search(_MARKER.sub(" ", text)))
