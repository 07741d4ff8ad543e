"""Whether a template can use up an engine's time or memory, read from its tree.

Trust: scan jail. Input: untrusted trees. llama.cpp's renderer bounds nothing: loops, recursion,
repetition and division by zero each take the process down (research/artifacts.md, section 3a).
What grows only with the conversation is left to the renderer's meter.
"""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from corral.admission.report import Finding
from corral.admission.template.folding import Folder
from corral.admission.template.limits import INTEGER, PADDING, RANGE_ITEMS, REPEATED_CHARS
from corral.admission.template.recursion import check_recursion
from corral.admission.template.syntax import Template, walk

_DIVISIONS = (nodes.Mod, nodes.Div, nodes.FloorDiv)
_PADDERS = frozenset({"center", "ljust", "rjust", "zfill", "indent", "truncate", "wordwrap",
    "batch", "slice", "round", "tojson"})  # fmt: skip
_INDENT = 8
_REPEATED = "a text or list is repeated without a bound"
_LENGTHS = frozenset({"length", "count", "int", "min", "max", "abs"})


def check_growth(template: Template, folder: Folder) -> Iterator[Finding]:
    """Yield `template_dos` for each place that has no bound."""
    numbers = [
        node.value
        for node, _, _ in walk(template.tree)
        if isinstance(node, nodes.Const) and isinstance(node.value, int)
    ]
    small = max(numbers, default=0) <= RANGE_ITEMS
    for node, _, loops in walk(template.tree):
        reason = _reason(node, folder, loops)
        if reason == _REPEATED and small and _is_indent(node, folder):
            continue
        if reason:
            yield Finding("template_dos", "flag", reason, template.at(node))
    yield from check_recursion(template)
    yield from _nested_ranges(template, folder)


def _reason(node: nodes.Node, folder: Folder, loops: int) -> str:
    match node:
        case nodes.Const(value=int()) if abs(node.value) >= INTEGER:
            return "a number is larger than an engine counts"
        case nodes.Pow():
            return "a power has no bound"
        case nodes.Mul():
            return _repetition(node, folder)
        case nodes.Mod() | nodes.Div() | nodes.FloorDiv() if folder.fold(node.right) == 0:
            return "a division by zero ends the engine"
        case nodes.Test(name="divisibleby"):
            divisor = folder.integer(node.args[0]) if node.args else None
            return "" if divisor else "a division by zero ends the engine"
        case nodes.Filter(name=name) if name in _PADDERS:
            return _padding(node, folder)
        case nodes.Call(node=nodes.Getattr(attr=name)) if name in _PADDERS:
            return _padding(node, folder)
        case nodes.Call(node=nodes.Name(name="range")):
            return "" if range_items(node, folder) is not None else "a loop counts without a bound"
        case nodes.Assign() | nodes.AssignBlock() if loops and _doubles(node):
            return "a text or list grows by itself in a loop"
    return ""


def range_items(node: nodes.Call, folder: Folder) -> int | None:
    """Return how often a range counts at most; 1 where the conversation bounds it; None for never.

    A bound that is no constant must be made of lengths, names and small numbers.
    """
    numbers = [folder.integer(argument) for argument in node.args]
    if not 1 <= len(numbers) <= 3 or node.kwargs:
        return None
    step = numbers[2] if len(numbers) == 3 else 1
    if step is None or not 0 < abs(step) <= RANGE_ITEMS:
        return None
    if any(number is not None and abs(number) >= INTEGER for number in numbers):
        return None
    if None not in numbers:
        items = len(range(*[n for n in numbers if n is not None]))
        return items if items <= RANGE_ITEMS else None
    if all(_is_length(argument, folder) for argument in node.args):
        return 1
    return None


def _is_length(node: nodes.Node, folder: Folder) -> bool:
    for part, _, _ in walk(node):
        match part:
            case nodes.Const(value=int()) if abs(part.value) <= RANGE_ITEMS:
                continue
            case nodes.Filter() if part.name in _LENGTHS:
                continue
            case nodes.Name() | nodes.Getattr() | nodes.Add() | nodes.Sub() | nodes.Neg():
                continue
            case nodes.Getitem() | nodes.Const(value=str()):
                continue
        return False
    return not isinstance(folder.fold(node), str)


def _repetition(node: nodes.Mul, folder: Folder) -> str:
    for text, times in ((node.left, node.right), (node.right, node.left)):
        value = folder.fold(text)
        if isinstance(text, nodes.List | nodes.Tuple) or isinstance(value, str | list):
            count = folder.integer(times)
            size = len(value) if isinstance(value, str | list) else REPEATED_CHARS
            if count is None or size * count > REPEATED_CHARS:
                return _REPEATED
    return ""


def _is_indent(node: nodes.Node, folder: Folder) -> bool:
    """Return whether blanks are repeated as often as a name says."""
    if not isinstance(node, nodes.Mul) or not isinstance(node.right, nodes.Name):
        return False
    text = folder.text(node.left)
    return text is not None and text.isspace() and len(text) <= _INDENT


def _padding(node: nodes.Filter | nodes.Call, folder: Folder) -> str:
    for argument in [*node.args, *(keyword.value for keyword in node.kwargs)]:
        width = folder.fold(argument)
        if isinstance(width, int) and abs(width) > PADDING:
            return "a text is padded without a bound"
    return ""


def _doubles(node: nodes.Assign | nodes.AssignBlock) -> bool:
    # What is stored must be made of itself at least twice, and not by looking at it only.
    target = _path(node.target)
    made = [node.node] if isinstance(node, nodes.Assign) else node.body
    return bool(target) and sum(_uses(part, target) for part in made) > 1


def _uses(node: nodes.Node, target: str) -> int:
    # Recurses no deeper than TREE_DEPTH.
    if _path(node) == target:
        return 1
    if isinstance(node, nodes.Test | nodes.Compare | nodes.Slice):
        return 0
    if isinstance(node, nodes.Filter) and node.name in _LENGTHS:
        return 0
    if isinstance(node, nodes.CondExpr):
        return max(_uses(one, target) for one in (node.expr1, node.expr2) if one is not None)
    return sum(_uses(child, target) for child in node.iter_child_nodes())


def _path(node: nodes.Node) -> str:
    match node:
        case nodes.Name(name=name):
            return str(name)
        case nodes.NSRef():
            return f"{node.name}.{node.attr}"
        case nodes.Getattr(node=nodes.Name(name=name)):
            return f"{name}.{node.attr}"
        case nodes.Getitem(node=nodes.Name(name=name), arg=nodes.Const(value=str(attribute))):
            return f"{name}.{attribute}"
    return ""


def _nested_ranges(template: Template, folder: Folder) -> Iterator[Finding]:
    waiting: list[tuple[nodes.Node, int]] = [(template.tree, 1)]
    while waiting:
        node, times = waiting.pop()
        if isinstance(node, nodes.For):
            times *= _turns(node.iter, folder)
            if times > RANGE_ITEMS:
                yield Finding(
                    "template_dos", "flag", "loops within loops have no bound", template.at(node)
                )
                continue
        waiting += [(child, times) for child in node.iter_child_nodes()]


def _turns(node: nodes.Node, folder: Folder) -> int:
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name):
        return max(1, range_items(node, folder) or 1) if node.node.name == "range" else 1
    value = folder.fold(node)
    return max(1, len(value)) if isinstance(value, str | list) else 1
