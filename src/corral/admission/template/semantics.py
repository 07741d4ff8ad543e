"""What a template does to conversations, found by comparing many renderings.

Trust: scan jail. Input: untrusted templates that the allow-list has passed. A template may add
markers and words of its own; what it adds must depend on the roles alone, never on what is said, on
the date or on how long the conversation is, and everything said must be there, once and in order.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Final

from corral.admission.report import Finding
from corral.admission.template import prose
from corral.admission.template.branches import (
    check_branches,
    check_unusual,
    named_roles_allowed,
)
from corral.admission.template.conversations import (
    DATES,
    NOW,
    TURNS,
    Conversation,
    conversation,
    said_variants,
    shape,
)
from corral.admission.template.folding import Folder
from corral.admission.template.meter import OverLimitError
from corral.admission.template.outline import Outline, outline
from corral.admission.template.renderer import Renderer, Rendering
from corral.admission.template.syntax import Template
from corral.admission.template.triggers import asked_lengths, asked_texts
from corral.admission.template.untaken import Untaken, words_of

ADDED_WORDS: Final = 40
"""Words that a template may add where the operator has given a system prompt."""
BEGUN_WORDS: Final = 0
"""Words that an answer may begin with and that no earlier answer of the conversation had."""
_SHAPES: Final = tuple(
    shape(turns, system=system) for turns in (1, 2, 3) for system in (False, True)
)
_TOOLS: Final = [
    {
        "type": "function",
        "function": {
            "name": "lookup",
            "description": "Look something up.",
            "parameters": {
                "type": "object",
                "properties": {"key": {"type": "string", "description": "What to look up."}},
                "required": ["key"],
            },
        },
    }
]
_DROPPED: Final = "template_semantics"


def check_semantics(
    template: Template, folder: Folder, *, control_tokens: tuple[str, ...], bos: str, eos: str
) -> Iterator[Finding]:
    """Yield what renderings of the template show.

    1. find a form of content that the template takes
    2. every shape of conversation: all that is said is there, once, in order, by its own role
    3. what is said, when, and how often changes nothing else
    4. what the template says itself is harmless
    5. what the template's own conditions ask for is said, as are unusual orders of roles, nothing,
       and one thing twice: it adds nothing
    6. every branch that is decided by what is said was taken on the way
    """
    try:
        yield from _Trial(template, folder, control_tokens, bos, eos).run()
    except OverLimitError:
        yield Finding("template_dos", "flag", "a rendering has no bound", template.name)


class _EndedError(Exception):
    """A finding that leaves nothing to compare."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.code)
        self.finding = finding


class _Trial:
    def __init__(
        self,
        template: Template,
        folder: Folder,
        control_tokens: tuple[str, ...],
        bos: str,
        eos: str,
    ) -> None:
        self._name, self._text = template.name, template.text
        self._template, self._folder = template, folder
        self._asked = asked_texts(template, folder)
        self._lengths = asked_lengths(template, folder)
        self._control_tokens = control_tokens
        self._renderer = Renderer(template, bos=bos, eos=eos)
        self._typed = False
        self._thinking = True
        self._base: dict[tuple[str, ...], Outline] = {}

    def run(self) -> Iterator[Finding]:
        usual: list[str] = []
        # What the source does not name cannot change a rendering: no name is made of pieces.
        ways = (True, False) if "enable_thinking" in self._text else (True,)
        try:
            for self._thinking in ways:
                self._base = {}
                yield from self._look()
                usual += (segment for base in self._base.values() for segment in base.segments)
            # 5
            for self._thinking in ways:
                yield from self._take_branches(tuple(usual))
            # 6
            yield from self._untaken(" ".join(usual))
        except _EndedError as ended:
            yield ended.finding

    def _look(self) -> Iterator[Finding]:
        if not self._thinking and all(
            self._render(conversation(roles)).end == "refused" for roles in _SHAPES
        ):
            yield self._note("the template refuses to answer without thinking")
            return
        # 1
        yield from self._choose_form()
        # 2
        for roles in _SHAPES:
            yield from self._try_shape(roles)
        # 3
        yield from self._vary()
        # 4
        yield from self._own_words()

    def _flag(self, code: str, message: str) -> Finding:
        if code == "template_injection":
            return Finding("template_injection", "flag", message, self._name)
        return Finding("template_semantics", "flag", message, self._name)

    def _note(self, message: str) -> Finding:
        return Finding("template_note", "info", message, self._name)

    def _render(
        self, one: Conversation, *, prompt: bool = True, now: datetime.datetime = NOW
    ) -> Rendering:
        messages = one.messages(typed=self._typed)
        rendering = self._renderer.render(messages, prompt=prompt, now=now, thinking=self._thinking)
        self._stop_if_ended(rendering)
        return rendering

    def _stop_if_ended(self, rendering: Rendering) -> None:
        if rendering.end == "over_limit":
            raise OverLimitError
        if rendering.end == "forbidden":
            message = "a rendering reaches for what the sandbox forbids"
            raise _EndedError(Finding("template_ssti", "flag", message, self._name))

    def _choose_form(self) -> Iterator[Finding]:
        one = conversation(shape(1, system=False))
        for typed in (False, True):
            self._typed = typed
            rendering = self._render(one)
            if rendering.end == "text" and isinstance(outline(rendering.text, one), Outline):
                if typed:
                    yield self._note("the template takes content as a list of parts only")
                return
        self._typed = False
        rendering = self._render(one)
        if rendering.end != "text":
            message = "the template cannot render a message of a user"
            raise _EndedError(self._flag(_DROPPED, message))

    def _try_shape(self, roles: tuple[str, ...]) -> Iterator[Finding]:
        one = conversation(roles)
        rendering = self._render(one)
        if rendering.end != "text":
            if roles[0] == "system":
                if len(roles) == 2:
                    yield self._note("the template refuses a system prompt")
                return
            yield self._flag(_DROPPED, "the template cannot render turns of user and assistant")
            return
        found = outline(rendering.text, one)
        if isinstance(found, str):
            yield self._flag(_DROPPED, found)
            return
        self._base[roles] = found
        yield from self._check_roles(roles, found)
        without = self._render(one, prompt=False)
        other = outline(without.text, one) if without.end == rendering.end else ""
        if isinstance(other, str):
            yield self._flag(_DROPPED, "messages are lost where no answer is asked for")
        elif prose.words(" ".join(other.segments)) > prose.words(" ".join(found.segments)):
            message = "the template says more where no answer is asked for"
            yield self._flag("template_injection", message)

    def _check_roles(self, roles: tuple[str, ...], found: Outline) -> Iterator[Finding]:
        for index, role in enumerate(roles):
            before = found.before(index)
            named = prose.role_named(before[-120:])
            if named not in named_roles_allowed(roles, index) and not _both(before, role):
                yield self._flag(_DROPPED, f"a message of the {role} is given to another role")
        if len(roles) >= 3 and roles[-3:] == ("user", "assistant", "user"):
            last = len(roles) - 1
            if found.before(last).strip() == found.before(last - 1).strip():
                yield self._flag(_DROPPED, "messages of user and assistant cannot be told apart")

    def _vary(self) -> Iterator[Finding]:
        for roles in (shape(1, system=False), shape(1, system=True), shape(2, system=True)):
            base = self._base.get(roles)
            if base is None:
                continue
            for said in said_variants():
                for only in ("user", None):
                    if not self._same(conversation(roles, said, only), NOW, base):
                        message = "what is said changes what the template adds"
                        yield self._flag("template_injection", message)
                        return
            for date in DATES:
                if not self._same(conversation(roles), date, base):
                    message = "the date changes what the template adds"
                    yield self._flag("template_injection", message)
                    return
        yield from self._lengthen()

    def _same(self, one: Conversation, now: datetime.datetime, base: Outline) -> bool:
        rendering = self._render(one, now=now)
        if rendering.end != "text":
            return False
        found = outline(rendering.text, one)
        return isinstance(found, Outline) and found.dateless() == base.dateless()

    def _lengthen(self) -> Iterator[Finding]:
        for system in (False, True):
            bases = [self._base.get(shape(turns, system=system)) for turns in (1, 2, 3)]
            known = {segment for base in bases if base is not None for segment in base.segments}
            if not known or None in bases:
                continue
            asked = {(length + 1) // 2 for length in self._lengths}
            for turns in sorted({*TURNS, *asked} - {0}):
                one = conversation(shape(turns, system=system))
                rendering = self._render(one)
                found = outline(rendering.text, one) if rendering.end == "text" else ""
                if isinstance(found, str):
                    yield self._flag(_DROPPED, found or "long conversations cannot be rendered")
                    return
                if not set(found.segments) <= known:
                    message = "the number of turns changes what the template adds"
                    yield self._flag("template_injection", message)
                    return

    def _own_words(self) -> Iterator[Finding]:
        for roles, base in self._base.items():
            reason = prose.suspicion(" ".join(base.segments))
            if reason:
                yield self._flag("template_injection", reason)
                return
            added = prose.words(" ".join(base.segments))
            if roles[0] == "system" and added > ADDED_WORDS:
                message = "the template adds instructions to the operator's"
                yield self._flag("template_injection", message)
                return
        yield from self._begun_answer()
        with_tools = self._renderer.render(
            conversation(shape(1, system=False)).messages(typed=self._typed),
            now=NOW, thinking=self._thinking, tools=_TOOLS,
        )  # fmt: skip
        self._stop_if_ended(with_tools)
        text = with_tools.text if with_tools.end == "text" else ""
        reason = prose.suspicion(text, of_tools=True)
        if reason:
            yield self._flag("template_injection", reason)
        alone = self._base.get(shape(1, system=False))
        if alone is not None and prose.words(" ".join(alone.segments)) > BEGUN_WORDS:
            yield self._note("the template has words of its own where there is no system prompt")

    def _take_branches(self, usual: tuple[str, ...]) -> Iterator[Finding]:
        yield from check_branches(
            self._name, self._asked, max(self._lengths, default=4), self._render, usual,
            self._control_tokens,
        )  # fmt: skip
        yield from check_unusual(self._name, self._render, usual, self._control_tokens)

    def _untaken(self, usual: str) -> Iterator[Finding]:
        words = words_of(usual)
        for node in Untaken(self._template, self._folder).find(self._renderer.gone, words):
            message = "what is said decides a branch that no rendering takes"
            yield Finding("template_injection", "flag", message, self._template.at(node))

    def _begun_answer(self) -> Iterator[Finding]:
        base = self._base.get(shape(2, system=False))
        if base is None:
            return
        if prose.words(base.segments[-1]) - prose.words(base.before(1)) > BEGUN_WORDS:
            message = "the template begins the answer in the model's place"
            yield self._flag("template_injection", message)


def _both(before: str, role: str) -> bool:
    """Return whether the last line before a message names its role too."""
    return role in before.rstrip().rpartition("\n")[2].lower()
