"""Constant folding: what an expression of literals is worth, however it is disguised.

Trust: scan jail. Input: untrusted trees. Names that are assigned one constant count as that
constant. Bounded: no value is longer than `FOLDED_CHARS`, no list than `FOLDED_ITEMS`, and the
steps of one template are counted; what is over a bound is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from jinja2 import nodes

from corral.admission.template.limits import FOLDED_CHARS, FOLDED_ITEMS, FOLDING_STEPS
from corral.admission.template.syntax import walk

Known = str | int | float | bool | None | list["Known"]


class _Unknown(Exception):  # noqa: N818  the normal answer, not a fault
    """The expression depends on a conversation, or is too large."""


class Folder:
    """Folds the expressions of one template.

    Attributes:
        names: names that mean one constant throughout the template.
        stored: names that the template itself sets.
    """

    def __init__(self, tree: nodes.Template) -> None:
        self._steps = FOLDING_STEPS
        self._done: dict[int, tuple[nodes.Node, Known | _Unknown]] = {}
        self.names: dict[str, Known] = {}
        self.stored: frozenset[str] = frozenset()
        self._learn(tree)

    def fold(self, node: nodes.Node) -> Known | _Unknown:
        """Return the value; an instance of `_Unknown` where there is none."""
        try:
            return self._value(node)
        except _Unknown as unknown:
            return unknown
        except (ValueError, TypeError, IndexError, OverflowError, ZeroDivisionError):
            return _Unknown()

    def text(self, node: nodes.Node) -> str | None:
        """Return the value if it is a text."""
        value = self.fold(node)
        return value if isinstance(value, str) else None

    def integer(self, node: nodes.Node) -> int | None:
        """Return the value if it is a whole number."""
        value = self.fold(node)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def _learn(self, tree: nodes.Template) -> None:
        assigned: dict[str, list[nodes.Node | None]] = {}
        for node, _, _ in walk(tree):
            if isinstance(node, nodes.Assign):
                _assign(node.target, node.node, assigned)
            elif isinstance(node, nodes.AssignBlock) and isinstance(node.target, nodes.Name):
                assigned.setdefault(node.target.name, []).append(
                    nodes.Concat([x for b in node.body for x in _parts(b)])
                    if all(isinstance(b, nodes.Output) for b in node.body) and not node.filter
                    else None
                )
            elif isinstance(node, nodes.Name) and node.ctx in {"store", "param"}:
                assigned.setdefault(node.name, []).append(None)
        self.stored = frozenset(assigned)
        # A name is stored once by its own assignment, and once more by the walk over its target.
        single = {
            name: values[0] or values[1]
            for name, values in assigned.items()
            if len(values) == 2 and values.count(None) == 1
        }
        for _ in range(8):  # constants of constants
            before = len(self.names)
            for name, expression in single.items():
                if expression is not None and name not in self.names:
                    value = self.fold(expression)
                    if not isinstance(value, _Unknown):
                        self.names[name] = value
            self._done.clear()
            if len(self.names) == before:
                return

    def _value(self, node: nodes.Node) -> Known:
        key = id(node)
        if key in self._done:
            value = self._done[key][1]
            if isinstance(value, _Unknown):
                raise value
            return value
        self._steps -= 1
        if self._steps < 0:
            raise _Unknown
        try:
            value = _small(self._fresh(node))
        except _Unknown as unknown:
            self._done[key] = (node, unknown)
            raise
        self._done[key] = (node, value)
        return value

    def _fresh(self, node: nodes.Node) -> Known:  # noqa: PLR0912  one case for each node
        match node:
            case nodes.Const(value=str() | int() | float() | bool() | None):
                constant: Known = node.value
                return constant
            case nodes.TemplateData():
                return str(node.data)
            case nodes.Name(ctx="load") if node.name in self.names:
                return self.names[node.name]
            case nodes.List() | nodes.Tuple():
                return [self._value(item) for item in node.items[: FOLDED_ITEMS + 1]]
            case nodes.Concat():
                return "".join(_string(self._value(item)) for item in node.nodes)
            case nodes.Add() | nodes.Sub() | nodes.Mul() | nodes.Mod():
                return _binary(node, self._value(node.left), self._value(node.right))
            case nodes.Neg():
                number = self._value(node.node)
                if isinstance(number, int | float):
                    return -number
            case nodes.Getitem():
                return self._item(node)
            case nodes.Filter(node=nodes.Expr() as of, name=name) if name in _FILTERS:
                if not node.kwargs and node.dyn_args is None and node.dyn_kwargs is None:
                    return _FILTERS[name](self._value(of), *map(self._value, node.args))
            case nodes.Call(node=nodes.Getattr(node=of, attr=name)) if name in _FILTERS:
                if not node.kwargs and node.dyn_args is None and node.dyn_kwargs is None:
                    values = [self._value(of), *map(self._value, node.args)]
                    return _FILTERS[name](*(reversed(values) if name == "join" else values))
            case nodes.CondExpr():
                chosen = node.expr1 if self._value(node.test) else node.expr2
                if chosen is not None:
                    return self._value(chosen)
        raise _Unknown

    def _item(self, node: nodes.Getitem) -> Known:
        value = self._value(node.node)
        if not isinstance(value, str | list):
            raise _Unknown
        if isinstance(node.arg, nodes.Slice):
            ends = [node.arg.start, node.arg.stop, node.arg.step]
            numbers = [None if end is None else self.integer(end) for end in ends]
            if any(n is None and end is not None for n, end in zip(numbers, ends, strict=True)):
                raise _Unknown
            return value[slice(*numbers)]
        index = self.integer(node.arg)
        if index is None:
            raise _Unknown
        return value[index]


def is_unknown(value: object) -> bool:
    """Return whether folding gave no value."""
    return isinstance(value, _Unknown)


def _assign(
    target: nodes.Node, value: nodes.Node, assigned: dict[str, list[nodes.Node | None]]
) -> None:
    if isinstance(target, nodes.Name):
        assigned.setdefault(target.name, []).append(value)
    elif isinstance(target, nodes.Tuple) and isinstance(value, nodes.Tuple | nodes.List):
        for one, its in zip(target.items, value.items, strict=False):
            _assign(one, its, assigned)


def _parts(node: nodes.Node) -> list[nodes.Expr]:
    return node.nodes if isinstance(node, nodes.Output) else []


def _unknown() -> Known:
    raise _Unknown


def _small(value: Known) -> Known:
    if isinstance(value, str) and len(value) > FOLDED_CHARS:
        raise _Unknown
    if isinstance(value, list) and len(value) > FOLDED_ITEMS:
        raise _Unknown
    if isinstance(value, int) and value.bit_length() > 64:
        raise _Unknown
    return value


def _string(value: Known) -> str:
    if isinstance(value, list):
        raise _Unknown
    return str(value)


def _binary(node: nodes.BinExpr, left: Known, right: Known) -> Known:
    number = isinstance(left, int | float) and isinstance(right, int | float)
    if isinstance(node, nodes.Add):
        if isinstance(left, str) and isinstance(right, str):
            return left + right
        if isinstance(left, list) and isinstance(right, list):
            return left + right
        if number:
            return left + right  # type: ignore[operator]  # both are numbers
    elif isinstance(node, nodes.Sub) and number:
        return left - right  # type: ignore[operator]  # both are numbers
    elif isinstance(node, nodes.Mul):
        if isinstance(left, int) and isinstance(right, str):
            left, right = right, left
        if isinstance(left, str) and isinstance(right, int) and len(left) * right <= FOLDED_CHARS:
            return left * right
        if number:
            return left * right  # type: ignore[operator]  # both are numbers
    elif isinstance(node, nodes.Mod):
        if isinstance(left, str):
            return _formatted(left, *(right if isinstance(right, list) else [right]))
        if number:
            return left % right  # type: ignore[operator]  # both are numbers
    raise _Unknown


def _formatted(template: Known, *arguments: Known) -> Known:
    # Widths could make any length, and only names disguised by %c and %s are looked for.
    if not isinstance(template, str) or any(c.isdigit() or c == "*" for c in template):
        raise _Unknown
    return template % tuple(arguments)


def _of_text(function: Callable[..., Known]) -> Callable[..., Known]:
    def folded(value: Known, *arguments: Known) -> Known:
        if not isinstance(value, str):
            raise _Unknown
        return function(value, *arguments)

    return folded


def _join(items: Known, between: Known = "") -> Known:
    if not isinstance(items, list | str):
        raise _Unknown
    return _string(between).join(_string(item) for item in items)


def _replace(text: Known, old: Known, new: Known, *_: Known) -> Known:
    text, old, new = _string(text), _string(old), _string(new)
    if (text.count(old) + 1) * (len(new) + 1) > FOLDED_CHARS:
        raise _Unknown
    return text.replace(old, new)


def _reverse(value: Known) -> Known:
    if isinstance(value, str | list):
        return value[::-1]
    raise _Unknown


def _listed(value: Known) -> Known:
    return list(value) if isinstance(value, str | list) else _unknown()


def _ended(value: Known, index: int) -> Known:
    return value[index] if isinstance(value, str | list) and value else _unknown()


def _split(text: str, between: Known = None, *_: Known) -> Known:
    return list(text.split(between if isinstance(between, str) else None))


def _braces(text: str, *arguments: Known) -> Known:
    for number, argument in enumerate(arguments):
        text = text.replace("{}", _string(argument), 1)
        text = text.replace(f"{{{number}}}", _string(argument))
    return text


_FILTERS: Final[dict[str, Callable[..., Known]]] = {
    "join": _join,
    "replace": _replace,
    "reverse": _reverse,
    "list": _listed,
    "first": lambda value: _ended(value, 0),
    "last": lambda value: _ended(value, -1),
    "string": _string,
    "safe": lambda value: value,
    "int": lambda value, *_: int(_string(value)),
    "length": lambda value: len(value) if isinstance(value, str | list) else _unknown(),
    "count": lambda value: len(value) if isinstance(value, str | list) else _unknown(),
    "format": _of_text(lambda t, *a: _formatted(t, *a) if "%" in t else _braces(t, *a)),
    "lower": _of_text(lambda t: t.lower()),
    "upper": _of_text(lambda t: t.upper()),
    "title": _of_text(lambda t: t.title()),
    "capitalize": _of_text(lambda t: t.capitalize()),
    "trim": _of_text(lambda t, *a: t.strip(*a)),
    "strip": _of_text(lambda t, *a: t.strip(*a)),
    "lstrip": _of_text(lambda t, *a: t.lstrip(*a)),
    "rstrip": _of_text(lambda t, *a: t.rstrip(*a)),
    "split": _of_text(_split),
    "removeprefix": _of_text(lambda t, a: t.removeprefix(a)),
    "removesuffix": _of_text(lambda t, a: t.removesuffix(a)),
}  # filters and methods of one name mean the same, but for the order of `join`
