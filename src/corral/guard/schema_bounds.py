"""What of a schema is too much as a whole, and what no value can ever fit.

Trust: gateway [net]; pure. Input: a schema that was read, hostile. The engine's reader follows
references by recursion, counts items before it looks, and goes on without the schema where its
own bounds are passed: what gets near to that is refused here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from corral.guard.schema_nodes import STEERED_ITEMS_MAX, Array, Choice, Object, Ref, Tuple
from corral.guard.schema_run import Node
from corral.guard.schema_scalars import STEERED_CHARACTERS_MAX, Text

CHAIN_MAX: Final = 128
"""Deepest nesting with each definition in the place of what names it, once."""
COUNTS_MAX: Final = 32 * 1024
"""All numbers of items and characters that the engine is told, together."""
LEAST_CHARACTERS_MAX: Final = 64 * 1024
"""Longest of the shortest values that fit."""


def whole_flaw(defs: Mapping[str, Node]) -> str:
    """Return why a schema as a whole is not taken, in words for the caller; empty if it is.

    Args:
        defs: the definitions by name; the whole is `root`.
    """
    if any(_leads_to(name, defs) for name in defs):
        return "a definition leads to itself without a value in between"
    if _chain(defs["root"], defs, 0, set()) > CHAIN_MAX:
        return "its definitions are nested too deeply"
    if sum(map(_count, (one for node in defs.values() for one in parts(node)))) > COUNTS_MAX:
        return "its numbers of items and characters are too large together"
    if _least(defs) > LEAST_CHARACTERS_MAX:
        return "no value of a sensible length fits it"
    return ""


def parts(node: Node) -> Iterator[Node]:
    """Yield a node and all below it, not what references lead to."""
    yield node
    for below in _below(node):
        yield from parts(below)


def _below(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Array):
        return (node.items,)
    if isinstance(node, Tuple):
        return node.items
    if isinstance(node, Choice):
        return node.alternatives
    if isinstance(node, Object):
        others = () if node.others is None else (node.others,)
        return (*node.members.values(), *others)
    return ()


def _leads_to(name: str, defs: Mapping[str, Node]) -> bool:
    """Return whether a definition leads to itself by choices and references alone."""
    seen: set[str] = set()
    todo = [defs[name]]
    while todo:
        node = todo.pop()
        if isinstance(node, Choice):
            todo += node.alternatives
        elif isinstance(node, Ref):
            if node.name == name:
                return True
            if node.name not in seen:
                seen.add(node.name)
                todo.append(defs[node.name])
    return False


def _chain(node: Node, defs: Mapping[str, Node], depth: int, seen: set[str]) -> int:
    """Return how deep a reader gets that follows each reference where it first meets it."""
    if depth > CHAIN_MAX:
        return depth
    if isinstance(node, Ref):
        if node.name in seen:
            return depth
        seen.add(node.name)
        return _chain(defs[node.name], defs, depth + 1, seen)
    return max((_chain(one, defs, depth + 1, seen) for one in _below(node)), default=depth)


def _count(node: Node) -> int:
    """Return how many things the engine is told to count."""
    if isinstance(node, Array):
        least, most, told = node.least, node.most or 0, STEERED_ITEMS_MAX
    elif isinstance(node, Text):
        least, most, told = node.least, node.most or 0, STEERED_CHARACTERS_MAX
    else:
        return 0
    return max(least, most if most <= told else 0)


def _least(defs: Mapping[str, Node]) -> float:
    """Return the length of the shortest JSON text that fits; infinite if there is none."""
    known = dict.fromkeys(defs, math.inf)
    names = list(defs)
    for _ in defs:
        before = dict(known)
        names.reverse()  # a chain of definitions is done in one go, whichever way it goes
        for name in names:
            known[name] = _shortest(defs[name], known)
        if known == before:
            break
    return known["root"]


def _shortest(node: Node, known: Mapping[str, float]) -> float:
    if isinstance(node, Ref):
        return known[node.name]
    if isinstance(node, Choice):
        return min(_shortest(one, known) for one in node.alternatives)
    if isinstance(node, Array):
        return 2 + (node.least * (1 + _shortest(node.items, known)) if node.least else 0)
    if isinstance(node, Tuple):
        return 2 + sum(1 + _shortest(one, known) for one in node.items)
    if isinstance(node, Object):
        return 2 + sum(
            4 + len(name) + _shortest(one, known)
            for name, one in node.members.items() if name in node.required
        )  # fmt: skip
    return 2 + node.least if isinstance(node, Text) else 1
