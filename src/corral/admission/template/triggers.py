"""What the conditions of a template ask for, so that a rendering can say it.

Trust: scan jail; pure functions. Input: untrusted trees. A branch that no rendering takes is one
that nobody has seen: each text that a condition, a search or a split names is said in each role,
and each number that a conversation's length is compared with is tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from jinja2 import nodes

from corral.admission.template.conversations import FILLER, Conversation, marks, shape
from corral.admission.template.folding import Folder
from corral.admission.template.limits import TRIED_MESSAGES, TRIED_TEXT_CHARS, TRIED_TEXTS
from corral.admission.template.names import KINDS, SEARCHING
from corral.admission.template.syntax import Template, walk

_ROLES: Final = frozenset({"system", "user", "assistant", "tool", "developer"})
_SPOKEN: Final = ("user", "system", "assistant", "all")
_PAIRED: Final = 8
"""The texts of which each two are also said together."""


def asked_texts(template: Template, folder: Folder) -> tuple[str, ...]:
    """Return the texts that the template looks for, at most `TRIED_TEXTS + 1` of them."""
    found: dict[str, None] = {}
    for node, _, _ in walk(template.tree):
        for expression in _asked(node):
            for text in _texts(expression, folder):
                if text and text not in _ROLES | KINDS and len(text) <= TRIED_TEXT_CHARS:
                    found[text] = None
    return tuple(sorted(found))[: TRIED_TEXTS + 1]


def asked_lengths(template: Template, folder: Folder) -> tuple[int, ...]:
    """Return how many messages a conversation must have to be on each side of each comparison."""
    found: set[int] = set()
    for node, _, _ in walk(template.tree):
        number = folder.integer(node) if isinstance(node, nodes.Const) else None
        if number is not None and 1 < abs(number) <= TRIED_MESSAGES:
            found |= {abs(number) - 1, abs(number), abs(number) + 1}
    return tuple(sorted(found))


def conversations_saying(
    texts: tuple[str, ...], repeats: int
) -> Iterator[tuple[Conversation, tuple[str, ...]]]:
    """Yield conversations, each with the texts that it says; `repeats` times in one of them."""
    for text in texts:
        for role in _SPOKEN:
            yield from ((one, (text,)) for one in _saying(text, role, repeats))
    for role in _SPOKEN if len(texts) > 1 else ():
        for order in (texts, texts[::-1]):
            yield _conversation(" ".join(order), role, "{2} {0} {1} {2}", last=False), texts
    for one, other in combinations(texts[:_PAIRED], 2):
        yield from ((said, (one, other)) for said in _saying_both(one, other))


def _saying(text: str, role: str, repeats: int) -> Iterator[Conversation]:
    for wrap in ("{0} {2} {1}", "{2}{0} {1}{2}", "{2}"):
        for last in (False, True):
            yield _conversation(text, role, wrap, last=last)
    for times in sorted({2, 3, 4, repeats}) if role in {"user", "system"} else ():
        yield _conversation(text, role, "{0} " + "{2} " * times + "{1}", last=False)


def _saying_both(one: str, other: str) -> Iterator[Conversation]:
    escaped = other.replace("{", "{{").replace("}", "}}")
    for role in _SPOKEN:
        for wrap in (escaped + "{0}{2} {1}", "{2}{0} {1}" + escaped):
            yield _conversation(one, role, wrap, last=False)
    for first, second in ((one, other), (other, one)):
        both = _conversation(first, "user", "{0} {2} {1}", last=False)
        words = _conversation(second, "system", "{0} {2} {1}", last=False).words
        yield Conversation(both.roles, (words[0], *both.words[1:]))


def _conversation(text: str, role: str, wrap: str, *, last: bool) -> Conversation:
    roles = shape(2, system=True)
    at = [number for number, one in enumerate(roles) if role in {one, "all"}]
    chosen = at[-1:] if last else at
    return Conversation(roles, tuple(
        wrap.format(*marks(one, number), text) if number in chosen
        else FILLER.join(marks(one, number))
        for number, one in enumerate(roles)
    ))  # fmt: skip


def _asked(node: nodes.Node) -> Iterator[nodes.Expr]:
    match node:
        case nodes.Compare():
            yield from (node.expr, *(operand.expr for operand in node.ops))
        case nodes.Test():
            yield from node.args
        case nodes.Call(node=nodes.Getattr(attr=name)) if name in SEARCHING:
            yield from node.args
        case nodes.Filter(name="replace" | "select" | "reject" | "selectattr" | "rejectattr"):
            yield from node.args
        case (
            nodes.Getitem(node=nodes.Dict() as table)
            | nodes.Call(node=nodes.Getattr(node=nodes.Dict() as table))
        ):
            yield from (pair.key for pair in table.items)


def _texts(node: nodes.Expr, folder: Folder) -> Iterator[str]:
    value = folder.fold(node)
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))
    else:  # an unknown value: what it is made of
        for part, _, _ in walk(node):
            if isinstance(part, nodes.Const | nodes.Name):
                text = folder.text(part)
                if text is not None:
                    yield text
