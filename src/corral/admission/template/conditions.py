"""Conditions that no chat template needs: on the words of a message, and on the date.

Trust: scan jail. Input: untrusted trees. Such a condition is how a template changes what the model
is told for some users only. What messages hold is followed through assignments; markers
(`</think>`, `[TOOL_CALLS]`) and emptiness may be asked for, words and lengths may not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from jinja2 import nodes

from corral.admission.report import Finding
from corral.admission.template.folding import Folder
from corral.admission.template.syntax import Template, walk

_CONTENT: Final = frozenset({"content", "text"})
_DATES: Final = frozenset({"strftime_now"})
_DATE_NAMES: Final = re.compile(r"(?:^|_)(?:date|datetime|today|now|time|year|month)(?:_|$)")
_MARKER: Final = re.compile(
    r"<\|\w+\|>\w+(?=<\|)|[<\[\uff1c]/?[^<>\[\]]{0,80}[>\]\uff1e]|<[|/]?|/(?:no_?)?think\b"
)
_WORD: Final = re.compile(r"[^\W\d_]{2,}|\d{2,}|[^\W\d_][^\x00-\x7f]*")
_KINDS: Final = frozenset({
    "text", "image", "image_url", "video", "video_url", "audio", "audio_url", "input_audio", "type",
    "thinking", "file", "value", "url", "refusal", "blocks", "parts",
})  # fmt: skip
"""Kinds and keys of a message's parts. They are words too: the renderer tries each."""
_SEARCHING: Final = frozenset({
    "startswith", "endswith", "find", "rfind", "index", "count", "split", "rsplit", "replace",
    "removeprefix", "removesuffix",
})  # fmt: skip
_COMPARING: Final = frozenset({"eq", "equalto", "==", "ne", "!=", "in", "lt", "lessthan", "<", "le",
    "<=", "gt", "greaterthan", ">", "ge", ">=", "sameas"})  # fmt: skip
_PARTS: Final = 4
"""A message may be asked for whether it has this many parts."""
_CONTENT_REASON: Final = "the template looks for words in a message"
_LENGTH_REASON: Final = "the template asks how long a message is"
_DATE_REASON: Final = "the template decides by the date"


class _Flow:
    """Names and attributes of namespaces that hold what a source gives."""

    def __init__(self, template: Template, *, dates: bool) -> None:
        self._dates = dates
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
            if isinstance(part, nodes.Test | nodes.Compare | nodes.Not):
                continue
            if isinstance(part, nodes.CondExpr):
                waiting += [one for one in (part.expr1, part.expr2) if one is not None]
                continue
            if self._is_source(part) or _path(part) in self._held:
                return True
            if isinstance(part, nodes.Call) and isinstance(part.node, nodes.Getattr):
                waiting += [part.node.node, *part.args]
            elif not _is_attribute(part):  # what a message's other attributes say is its shape
                waiting += part.iter_child_nodes()
        return False

    def _is_source(self, node: nodes.Node) -> bool:
        match node:
            case nodes.Getattr(attr=name):
                return not self._dates and name in _CONTENT
            case nodes.Getitem(arg=nodes.Const(value=str(name))):
                return not self._dates and name in _CONTENT
            case nodes.Name(name=name, ctx="load") if self._dates:
                return name in _DATES or bool(_DATE_NAMES.search(name))
        return False


def check_conditions(template: Template, folder: Folder) -> Iterator[Finding]:
    """Yield `template_injection` for each such condition."""
    content, date = _Flow(template, dates=False), _Flow(template, dates=True)
    for node, _, _ in walk(template.tree):
        reason = ""
        match node:
            case nodes.Compare():
                reason = _compare([node.expr, *(o.expr for o in node.ops)], content, date, folder)
            case nodes.Test() if node.name in _COMPARING:
                reason = _compare([node.node, *node.args], content, date, folder)
            case nodes.Call(node=nodes.Getattr(attr="get") as method):
                if not content.holds(method.node):
                    reason = _search([method.node, *node.args], content, date, folder)
            case nodes.Call(node=nodes.Getattr(attr=name) as method) if name in _SEARCHING:
                reason = _search([method.node, *node.args], content, date, folder)
            case nodes.Filter(name="replace") if node.node is not None:
                reason = _search([node.node, *node.args], content, date, folder)
            case nodes.Filter(name="select" | "reject" | "selectattr" | "rejectattr"):
                reason = _select(node, folder)
            case nodes.Getitem() if isinstance(node.node, nodes.Dict):
                reason = _search(
                    [node.arg, *(p.key for p in node.node.items)], content, date, folder
                )
        if reason:
            yield Finding("template_injection", "flag", reason, template.at(node))


def _compare(sides: list[nodes.Expr], content: _Flow, date: _Flow, folder: Folder) -> str:
    reason = _search(sides, content, date, folder)
    if reason or not any(content.holds(side) for side in sides):
        return reason
    measured = any(
        isinstance(side, nodes.Filter) and side.name in {"length", "count"} for side in sides
    )
    numbers = [folder.integer(side) for side in sides]
    if measured and any(number is not None and number > _PARTS for number in numbers):
        return _LENGTH_REASON
    return ""


def _search(sides: list[nodes.Expr], content: _Flow, date: _Flow, folder: Folder) -> str:
    if any(date.holds(side) for side in sides) and any(_is_literal(s, folder) for s in sides):
        return _DATE_REASON
    if any(content.holds(side) for side in sides):
        for side in sides:
            if any(_has_word(text) for text in _texts(side, folder)):
                return _CONTENT_REASON
    return ""


def _select(node: nodes.Filter, folder: Folder) -> str:
    attribute = folder.text(node.args[0]) if node.args else None
    by_content = attribute is not None and attribute.split(".")[-1] in _CONTENT
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
    return text not in _KINDS and bool(_WORD.search(_MARKER.sub(" ", text)))


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
