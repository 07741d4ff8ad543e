"""Whether a macro can call itself for ever.

Trust: scan jail. Input: untrusted trees. Nine of the templates that llama.cpp ships print the
schemas of tools by macros that call themselves for what is inside; the gateway bounds how deep a
request may nest. Allowed is therefore only that: a call under a condition or loop, for a part of
what the macro was given.
"""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from corral.admission.report import Finding
from corral.admission.template.limits import MACROS
from corral.admission.template.syntax import Template, walk

_MESSAGE = "a macro or loop calls itself without a bound"


def check_recursion(template: Template) -> Iterator[Finding]:
    """Yield `template_dos` for each unbounded recursion."""
    macros = {
        node.name: node for node, _, _ in walk(template.tree) if isinstance(node, nodes.Macro)
    }
    if len(macros) > MACROS:
        yield Finding("template_dos", "flag", "the template has too many macros", template.name)
        return
    calls = {name: set(_called(macro)) & set(macros) for name, macro in macros.items()}
    reached = {name: _reached(name, calls) for name in macros}
    for name, macro in macros.items():
        circle = {other for other in reached[name] if name in reached[other]}
        if name not in circle:
            continue
        for call, guarded, inner in _calls(macro):
            if call.node.name in circle and not (guarded and _descends(call, inner)):  # type: ignore[attr-defined]  # checked by _calls
                yield Finding("template_dos", "flag", _MESSAGE, template.at(call))
    for node, _, _ in walk(template.tree):
        if isinstance(node, nodes.For) and node.recursive:
            yield Finding("template_dos", "flag", _MESSAGE, template.at(node))


def _called(macro: nodes.Macro) -> Iterator[str]:
    # A macro can be handed on under another name, so each mention counts.
    for node, _, _ in walk(macro):
        if isinstance(node, nodes.Name) and node.ctx == "load":
            yield node.name


def _reached(name: str, calls: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(calls[name])
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += calls[one]
    return found


def _calls(macro: nodes.Macro) -> Iterator[tuple[nodes.Call, bool, set[str]]]:
    """Yield each call of a name, whether it is under a condition, and the names of parts."""
    waiting: list[tuple[nodes.Node, bool, set[str]]] = [(macro, False, set())]
    while waiting:
        node, guarded, parts = waiting.pop()
        if isinstance(node, nodes.For) and not _is_literal(node.iter):
            names = {n.name for n in node.target.find_all(nodes.Name)}
            if isinstance(node.target, nodes.Name):
                names.add(node.target.name)
            parts = parts | names
            guarded = True
        guarded = guarded or isinstance(node, nodes.If | nodes.CondExpr)
        if isinstance(node, nodes.Macro):
            parts = parts | _taken(node)
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name):
            yield node, guarded, parts
        waiting += [(child, guarded, parts) for child in node.iter_child_nodes()]


def _taken(macro: nodes.Macro) -> set[str]:
    """Return the names that the macro gives to parts of what it was given."""
    return {
        node.target.name
        for node, _, _ in walk(macro)
        if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name)
        and isinstance(node.node, nodes.Getattr | nodes.Getitem | nodes.Filter | nodes.Call)
        and _descends(nodes.Call(node.node, [node.node], [], None, None), set())
    }  # fmt: skip


def _is_literal(node: nodes.Node) -> bool:
    return any(
        isinstance(part, nodes.List | nodes.Tuple | nodes.Dict | nodes.Const | nodes.Call)
        and not (isinstance(part, nodes.Call) and isinstance(part.node, nodes.Getattr))
        and not (isinstance(part, nodes.Const) and part is not node)
        for part, _, _ in walk(node)
    )


def _descends(call: nodes.Call, parts: set[str]) -> bool:
    arguments: list[nodes.Node] = [*call.args, *(keyword.value for keyword in call.kwargs)]
    for argument in arguments:
        for node, _, _ in walk(argument):
            if isinstance(node, nodes.Getattr):
                return True
            if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Slice):
                return True
            if isinstance(node, nodes.Name) and node.name in parts:
                return True
    return False
