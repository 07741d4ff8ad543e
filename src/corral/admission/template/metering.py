"""Rewrite a tree so that everything that takes time or makes text passes a meter.

Trust: scan jail. Input: untrusted trees that the allow-list has passed. Loops, macros, calls,
output, lists and concatenation become calls of filters whose names no template can write.
"""

from __future__ import annotations

from typing import Final

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from corral.admission.template.syntax import walk

TURNS: Final = "-turns"
CHARGE: Final = "-charge"
GROWN: Final = "-grown"
EMIT: Final = "-emit"
CONCAT: Final = "-concat"


def metered(tree: nodes.Template) -> nodes.Template:
    """Return the tree, rewritten in place."""
    _Rewriter().visit(tree)
    return tree


def _through(name: str, node: nodes.Expr, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)


def _cost(body: list[nodes.Node]) -> nodes.Const:
    return nodes.Const(1 + sum(1 for node in body for _ in walk(node)))


class _Rewriter(NodeTransformer):
    """Visits by the name of each node's class; the names are jinja's."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        cost = _cost([*node.body, *([node.test] if node.test else [])])
        self.generic_visit(node)
        node.iter = _through(TURNS, node.iter, cost)  # type: ignore[arg-type]  # an expression
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        return self._body(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802
        cost = _cost(node.body)
        for field in ("args", "defaults", "body"):
            setattr(node, field, self._each(getattr(node, field)))
        self.generic_visit(node.call)
        node.body.insert(0, nodes.Output([_through(CHARGE, cost)], lineno=node.lineno))
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        parts: list[nodes.Expr] = []
        for part in node.nodes:
            plain = nodes.Const(part.data) if isinstance(part, nodes.TemplateData) else part
            parts.append(_through(EMIT, self.visit(plain)))
        node.nodes = parts
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through(CONCAT, nodes.List(node.nodes, lineno=node.lineno))

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through(GROWN, node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through(GROWN, node) if isinstance(node.arg, nodes.Slice) else node

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        return self._made(node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        return self._made(node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        return self._made(node) if node.ctx == "load" else node

    def _made(self, node: nodes.Expr) -> nodes.Node:
        self.generic_visit(node)
        return _through(GROWN, node)

    def _body(self, node: nodes.Macro) -> nodes.Node:
        cost = _cost(node.body)
        self.generic_visit(node)
        node.body.insert(0, nodes.Output([_through(CHARGE, cost)], lineno=node.lineno))
        return node

    def _each(self, items: list[nodes.Node]) -> list[nodes.Node]:
        return [self.visit(item) for item in items]
