"""Branches that what is said decides, and that no rendering took: nobody has seen what they do.

Trust: scan jail. Input: untrusted trees. Renderings say what conditions ask for, alone and in
pairs; a condition on three things at once, or on one that cannot be said, would still hide what it
guards. So every way through a template is counted while it is rendered, and one that depends on
what messages say and was never gone is refused, if it can say something that other ways do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from jinja2 import nodes

from corral.admission.template.flow import Flow, is_content
from corral.admission.template.folding import Folder
from corral.admission.template.syntax import Template, walk

GONE: Final = "-gone"
KEPT: Final = "-kept"
"""Filters whose names no template can write."""
_ROLES: Final = frozenset({"system", "developer", "user", "assistant"})
_DECIDING: Final = frozenset({"startswith", "endswith", "find", "rfind", "index", "count"})
_WORD: Final = re.compile(r"[^\W\d_]{2,}|[^\W\d_\x00-\x7f]")
_MARKER: Final = re.compile(r"</?[a-z_]{1,24}>|<\|[^<>|]{1,40}\|>|\[/?[A-Z_]{1,24}\]")


@dataclass(frozen=True, slots=True)
class Way:
    """One way through a template.

    Attributes:
        number: of the node in the order of `walk`, and which way out of it.
        node: where it branches.
        body: what is evaluated only there.
        asked: what decides it.
    """

    number: str
    node: nodes.Node
    body: tuple[nodes.Node, ...]
    asked: tuple[nodes.Node, ...]


def ways(tree: nodes.Node) -> Iterator[Way]:
    """Yield every way of a tree, which has the same numbers in each parse of one text."""
    for number, (node, _, _) in enumerate(list(walk(tree))):
        match node:
            case nodes.If(test=test, body=body, elif_=others, else_=last):
                yield Way(f"{number}", node, tuple(body), (test,))
                if last:
                    tests = (test, *(one.test for one in others))
                    yield Way(f"{number}-", node, tuple(last), tests)
            case nodes.CondExpr(test=test, expr1=one, expr2=two):
                yield Way(f"{number}", node, (one,), (test,))
                if two is not None:
                    yield Way(f"{number}-", node, (two,), (test,))
            case nodes.And(left=left, right=right) | nodes.Or(left=left, right=right):
                yield Way(f"{number}", node, (right,), (left,))
            case nodes.For(iter=items, test=test, body=body):
                yield Way(f"{number}", node, tuple(body), (items, *((test,) if test else ())))


def _is_never_so(asked: nodes.Node) -> bool:
    """Return whether a condition holds only for roles and contents that corral does not send."""
    waiting = [asked]
    while waiting:
        part = waiting.pop()
        match part:
            case nodes.And():
                waiting += [part.left, part.right]
            case nodes.Compare(
                expr=nodes.Getattr(attr="role") | nodes.Getitem(arg=nodes.Const(value="role")),
                ops=[nodes.Operand(op="eq", expr=nodes.Const(value=role))],
            ) if role not in _ROLES:
                return True
            case nodes.Test(name="mapping"):
                return True
    return False


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text outside of markers."""
    return frozenset(word.lower() for word in _WORD.findall(_MARKER.sub(" ", text)))


def mark_ways(tree: nodes.Node) -> None:
    """Make a tree note each way that is taken; in place, before it is metered."""
    for way in list(ways(tree)):
        mark = nodes.Const(way.number)
        match way.node:
            case nodes.If(body=body, else_=last) as node:
                (last if way.number.endswith("-") else body).insert(0, _noting(mark, node))
            case nodes.For(body=body) as node:
                body.insert(0, _noting(mark, node))
            case nodes.CondExpr(expr2=two) as node if way.number.endswith("-") and two is not None:
                node.expr2 = _keeping(two, mark)
            case nodes.CondExpr() as node:
                node.expr1 = _keeping(node.expr1, mark)
            case nodes.And() | nodes.Or() as node:
                node.right = _keeping(node.right, mark)


def _noting(mark: nodes.Const, node: nodes.Node) -> nodes.Output:
    said = nodes.Filter(mark, GONE, [], [], None, None, lineno=node.lineno)
    return nodes.Output([said], lineno=node.lineno)


def _keeping(value: nodes.Expr, mark: nodes.Const) -> nodes.Filter:
    return nodes.Filter(value, KEPT, [mark], [], None, None, lineno=value.lineno)


class Untaken:
    """Looks for ways that were not gone."""

    def __init__(self, template: Template, folder: Folder) -> None:
        self._template = template
        self._folder = folder
        self._content = Flow(template, is_content)

        self._said = Flow(template, self._asks)

    def find(self, gone: frozenset[str], usual: frozenset[str]) -> Iterator[nodes.Node]:
        """Yield where a way branches off that nobody has gone.

        Args:
            gone: numbers of the ways that a rendering took.
            usual: words that other ways say.
        """
        left = [way for way in ways(self._template.tree) if way.number not in gone]
        # Within a way that nobody goes, that way decides: parts of a content that is a text here,
        # roles and tools that no conversation of corral has.
        within = {id(part) for way in left for body in way.body for part, _, _ in walk(body)}
        for way in left:
            if id(way.node) in within or not any(map(self._is_decided, way.asked)):
                continue
            if any(map(_is_never_so, way.asked)):
                continue
            if self._words(way) - usual:
                yield way.node

    def _is_decided(self, asked: nodes.Node) -> bool:
        """Return whether a condition depends on what messages say."""
        return any(self._said.holds(part) for part, _, _ in walk(asked))

    def _asks(self, node: nodes.Node) -> bool:
        """Return whether a node looks for something in what a message says."""
        match node:
            case nodes.Compare():
                sides = [node.expr, *(operand.expr for operand in node.ops)]
                if any(isinstance(side, nodes.Const) and side.value in (0, "") for side in sides):
                    return False  # whether it is empty
            case nodes.Test() if node.args:
                sides = [node.node, *node.args]
            case nodes.Call(node=nodes.Getattr(node=of, attr=name)) if name in _DECIDING:
                sides = [of, *node.args]
            case _:
                return False
        return any(map(self._content.holds, sides))

    def _words(self, way: Way) -> frozenset[str]:
        found: set[str] = set()
        for body in way.body:
            waiting = [body]
            while waiting:
                part = waiting.pop()
                match part:
                    case nodes.Compare() | nodes.Test():
                        continue  # what is asked for is not said
                    case nodes.If() | nodes.CondExpr():
                        waiting += [c for c in part.iter_child_nodes() if c is not part.test]
                        continue
                    case nodes.Call(node=nodes.Name(name="raise_exception")):
                        continue
                    case nodes.Getitem():
                        waiting.append(part.node)
                        continue
                    case nodes.TemplateData():
                        found |= words_of(str(part.data))
                    case nodes.Const(value=str(text)):
                        found |= words_of(text)
                waiting += part.iter_child_nodes()
        return frozenset(found)
