"""Take the branches that conditions on what is said hide, and compare what comes of them.

Trust: scan jail. Input: renderings of untrusted templates. Templates ask for markers (`</think>`,
`/no_think`) for good reasons: what an assistant thought is cut off, a marker is put in. That is all
that such a branch may do: no word that other renderings lack, nothing of user or system lost, no
message under another role.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from corral.admission.report import Finding
from corral.admission.template import prose
from corral.admission.template.conversations import (
    FILLER,
    Conversation,
    marks,
    unusual_conversations,
)
from corral.admission.template.limits import TRIED_TEXTS
from corral.admission.template.renderer import Rendering
from corral.admission.template.triggers import conversations_saying

_WORD: Final = re.compile(r"[^\W\d_]{2,}|[^\W\d_\x00-\x7f]")
_PLAIN_MARKER: Final = re.compile(r"</?[a-z]{1,16}>")
_LONG_CHARS: Final = 200
_ROLE_CHARS: Final = 120


class Usual:
    """What renderings add anyway."""

    def __init__(self, text: str, long: tuple[str, ...]) -> None:
        self._text = text
        self._long = long
        self._known: dict[tuple[str, ...], frozenset[str]] = {}

    def words(self, said: tuple[str, ...]) -> frozenset[str]:
        """Return the words of it, as they are left once what is said is taken away."""
        if said not in self._known:
            self._known[said] = _words(_without(self._text, said))
        return self._known[said]

    def beside(self, text: str) -> str:
        """Return a rendering without the long texts that stand in all of them."""
        for part in self._long:
            text = text.replace(part, " ")
        return text


def check_branches(
    name: str,
    texts: tuple[str, ...],
    repeats: int,
    render: Callable[[Conversation], Rendering],
    usual: tuple[str, ...],
    control_tokens: tuple[str, ...],
) -> Iterator[Finding]:
    """Yield a finding for the first conversation whose branch does more than it may.

    Args:
        name: of the template.
        texts: what its conditions ask for.
        repeats: how often a text is said that may be counted.
        render: renders a conversation.
        usual: texts that renderings add where nothing of this is said.
        control_tokens: of the vocabulary; a branch may add them.
    """
    if len(texts) > TRIED_TEXTS:
        message = "the template looks for more texts than can be tried"
        yield Finding("template_injection", "flag", message, name)
        return
    words = Usual(" ".join(usual), _long(usual))
    for one, said in conversations_saying(texts, repeats):
        rendering = render(one)
        if rendering.end == "refused":
            continue  # its own exception: the caller learns of it
        reason = _reason(name, rendering, one, said, words, control_tokens)
        if reason:
            yield reason
            return


def check_unusual(
    name: str,
    render: Callable[[Conversation], Rendering],
    usual: tuple[str, ...],
    control_tokens: tuple[str, ...],
) -> Iterator[Finding]:
    """Yield a finding if an order of roles, or silence, makes the template say more.

    A template may refuse such a conversation, or leave out what it knows no place for; what is said
    twice must be there twice.

    Args:
        name: of the template.
        render: renders a conversation.
        usual: texts that renderings add to turns of user and assistant.
        control_tokens: of the vocabulary; they may be added.
    """
    words = Usual(" ".join(usual), _long(usual))
    for one in unusual_conversations():
        rendering = render(one)
        if rendering.end != "text":
            continue
        # A role that had no place in usual turns may be named.
        known = words.words(()) | frozenset(one.roles)
        finding = _more(name, rendering, one, (), words, known, control_tokens)
        if finding is None and len({*one.words}) < len(one.words):
            finding = _once(name, rendering.text, one)
        if finding is not None:
            yield finding
            return


def named_roles_allowed(roles: tuple[str, ...], index: int) -> frozenset[str]:
    """Return under which role's name a message may stand; empty for none at all."""
    role = roles[index]
    # A system prompt may be put into the first message of the user, but nowhere else.
    allowed = {"", role, "user"} if role == "system" else {"", role}
    if role == "user" and index == 1 and roles[0] == "system":
        allowed.add("system")
    return frozenset(allowed)


def _reason(
    name: str,
    rendering: Rendering,
    one: Conversation,
    said: tuple[str, ...],
    usual: Usual,
    control_tokens: tuple[str, ...],
) -> Finding | None:
    lost = _lost(rendering, one, said)
    if lost:
        return Finding("template_semantics", "flag", lost, name)
    return _more(name, rendering, one, said, usual, usual.words(said), control_tokens)


def _more(
    name: str,
    rendering: Rendering,
    one: Conversation,
    said: tuple[str, ...],
    usual: Usual,
    known: frozenset[str],
    control_tokens: tuple[str, ...],
) -> Finding | None:
    added = _added(usual.beside(rendering.text), one, said)
    for marker in (*control_tokens, *set(_PLAIN_MARKER.findall(added))):
        added = added.replace(marker, " ")
    if _words(added) - known or prose.suspicion(added):
        message = "a text or an order that is looked for makes the template say more"
        return Finding("template_injection", "flag", message, name)
    return None


def _long(usual: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({one for one in usual if len(one) > _LONG_CHARS}, key=len, reverse=True))


def _once(name: str, text: str, one: Conversation) -> Finding | None:
    for said in {*map(str.strip, one.words)} - {""}:
        if text.count(said) != sum(words.strip() == said for words in one.words):
            message = "the template drops what was said before"
            return Finding("template_semantics", "flag", message, name)
    return None


def _lost(rendering: Rendering, one: Conversation, said: tuple[str, ...]) -> str:
    """Return what became of a message that should not, or nothing."""
    if rendering.end != "text":
        return "the template fails on a text that it looks for"
    text, end = rendering.text, 0
    for index, role in enumerate(one.roles):
        left, right = marks(role, index)
        words = one.words[index]
        there = [mark for mark in (left, right) if mark in words]
        counts = [text.count(mark) for mark in there]
        if max(counts, default=0) > 1:
            return "the template says a message twice"
        if not _kept(role, counts, inside=words.startswith(left) and words.endswith(right)):
            return f"a text that is looked for loses what a message of the {role} says"
        places = [text.find(mark) for mark in there if mark in text and role != "system"]
        if places != sorted(places) or min(places, default=end) < end:
            return "the template changes the order of messages"
        end = max(places, default=end)
        if left in text and not _keeps_role(text, one, index, said):
            return f"a message of the {role} is given to another role"
    return ""


def _keeps_role(text: str, one: Conversation, index: int, said: tuple[str, ...]) -> bool:
    start = text.find(marks(one.roles[index], index)[0])
    before = text[max(0, start - _ROLE_CHARS) : start]
    for other in range(index):
        for mark in marks(one.roles[other], other):
            # A message that is nothing but the text has no mark: what is behind it counts then.
            for part in (mark,) if mark in one.words[other] else said:
                before = before.rpartition(part)[2]
    for part in said:
        before = before.replace(part, " ")
    named = prose.role_named(before)
    line = before.rstrip().rpartition("\n")[2].lower()
    return named in named_roles_allowed(one.roles, index) or one.roles[index] in line


def _kept(role: str, counts: list[int], *, inside: bool) -> bool:
    """Return whether enough of a message is there; what an assistant thought may be cut off."""
    if role == "assistant":
        return any(counts) or not inside
    return 0 not in counts


def _added(text: str, one: Conversation, said: tuple[str, ...]) -> str:
    """Return a rendering without what its conversation says."""
    for index, role in enumerate(one.roles):
        for mark in marks(role, index):
            text = text.replace(mark, " ")
    return _without(text.replace(FILLER, " "), said)


def _without(text: str, said: tuple[str, ...]) -> str:
    for part in sorted(said, key=len, reverse=True):
        for form in (part, part.strip()):
            text = text.replace(form, " ") if form else text
    return text


def _words(text: str) -> frozenset[str]:
    """Return the words of a text, also those within markers."""
    return frozenset(word.lower() for word in _WORD.findall(text))
