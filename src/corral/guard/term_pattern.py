"""Regular expressions for many words at once, by their common beginnings.

Trust: gateway [net] and command line; pure. Input: words of the operator's policy, bounded there. A
plain list of a thousand words is tried word by word at each place; a tree once a character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_Tree = dict[str, "_Tree"]
_END = ""


def any_of(terms: Iterable[str]) -> str:
    """Return an expression of every term; of those that begin alike the longest is tried first."""
    return _whole(_tree(terms))


def beginning_of(terms: Iterable[str]) -> str:
    """Return an expression of every beginning of a term, the whole one too; never of nothing."""
    return _begun(_tree(terms))


def _tree(terms: Iterable[str]) -> _Tree:
    root: _Tree = {}
    for term in terms:
        node = root
        for character in term:
            node = node.setdefault(character, {})
        node[_END] = {}
    return root


def _whole(node: _Tree) -> str:
    rest = [re.escape(one) + _whole(below) for one, below in node.items() if one != _END]
    if not rest:
        return ""
    return f"(?:{'|'.join(rest)})" + ("?" if _END in node else "")


def _begun(node: _Tree) -> str:
    rest = []
    for one, below in node.items():
        if one != _END:
            more = _begun(below)
            rest.append(re.escape(one) + (f"{more}?" if more else ""))
    return f"(?:{'|'.join(rest)})" if rest else ""
