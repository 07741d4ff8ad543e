"""The way out of an answer: step after step, by one policy; a stream stays a stream.

Trust: gateway [net]. Input: a hostile answer, piece by piece, already valid Unicode and bounded by
`engine.conversation`.

     1 characters    what drives a terminal                      guard.output_characters
     2 canary        the request's own, in many writings         guard.canary
     3 prompt        runs of words of the system prompt          guard.prompt_leak
     4 private data  secrets, personal data, links elsewhere     guard.redaction
     5 placeholders  back to what they stand for                 guard.placeholders
     6 tokens        the text of the model's control tokens      guard.output
     7 sink          images, links, markup, by where it is shown guard.output_markdown, output_sinks
     8 bounds        loops, length                               guard.output_bounds

Each step holds back no more than it needs to decide, and gives the same text in all wherever the
answer is cut; so does the chain. A step that ends the answer lets nothing go on from there; what it
let go before goes through the steps after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from corral.guard.canary import CanaryWatch
from corral.guard.finding import Handling
from corral.guard.hit import Hit, Scanner
from corral.guard.kinds import KINDS
from corral.guard.output import OutputFilter
from corral.guard.output_bounds import LengthWatch, LoopWatch
from corral.guard.output_characters import ControlCharacters
from corral.guard.output_judge import OutputJudge, OutputStep
from corral.guard.output_markdown import MarkdownGuard
from corral.guard.output_sinks import HtmlSink, JsonSink
from corral.guard.placeholders import Restoration
from corral.guard.policy import SanitationPolicy
from corral.guard.private_data import OUTPUT, mark_of, private_scanners
from corral.guard.prompt_leak import PromptLeak
from corral.guard.redaction import Redaction
from corral.guard.special_tokens import ControlTokens
from corral.guard.url_scanner import HostList, UrlScanner

_CUTS: Final = frozenset({"repetition", "long_output"})
_OBSERVED_CHARACTERS: Final = 1024
_SHOWN: Final = ("remote_image", "active_link", "active_markup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an answer must not tell of its request, and what comes back in it.

    Attributes:
        chat: it is a conversation, not a text to go on with.
        canary: of the request; empty if it has none.
        prompts: its system prompts.
        restored: what placeholders stand for.
        is_json: it is to be JSON, and programs read it.
    """

    chat: bool = True
    canary: str = field(default="", repr=False)
    prompts: tuple[str, ...] = field(default=(), repr=False)
    restored: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_json: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """What ended an answer.

    Attributes:
        kind: of `guard.kinds.KINDS`.
    """

    kind: str

    @property
    def code(self) -> str:
        """Return the stable code for it."""
        return f"output_stopped.{self.kind}"

    @property
    def message(self) -> str:
        """Return why an answer is withheld for it, with none of its text."""
        return f"the answer was withheld: {KINDS[self.kind].message}"

    @property
    def is_cut(self) -> bool:
        """Return whether what came before it is fit to be read."""
        return self.kind in _CUTS


class OutputRules:
    """The way out of one policy for one model; made once, used for every answer.

    Attributes:
        policy: whose.
    """

    def __init__(self, policy: SanitationPolicy, tokens: ControlTokens) -> None:
        self.policy = policy
        self._tokens = tokens
        self._handling = policy.effective()
        self._hosts = HostList(policy.options.link_hosts)
        judge = OutputJudge(self._handling)
        self._changed = self._scanners(judge.changes)
        self._told = self._scanners(lambda kind: judge.wants(kind) and not judge.changes(kind))

    def chain(self, asked: Asked) -> OutputChain:
        """Return the way out of one answer."""
        judge = OutputJudge(self._handling)
        return OutputChain(judge, self._steps(judge, asked))

    def value_chain(self, asked: Asked, judge: OutputJudge) -> OutputChain:
        """Return the way out of one of an answer's texts that programs read, but for `watches`.

        Args:
            asked: of the answer's request.
            judge: of the answer.
        """
        return OutputChain(judge, self._cleaners(judge, asked))

    def watches(self, asked: Asked, judge: OutputJudge) -> list[OutputStep]:
        """Return the steps that look for what the request keeps to itself, and change no text."""
        steps: list[OutputStep] = []
        if asked.canary and judge.wants("canary_leak"):
            steps.append(CanaryWatch(judge, asked.canary))
        if asked.prompts and judge.wants("prompt_leak"):
            steps.append(PromptLeak(judge, asked.prompts, self.policy.options.prompt_leak_words))
        return steps

    def _scanners(self, wanted: Callable[[str], bool]) -> tuple[Scanner, ...]:
        scanners = private_scanners(lambda kind: wanted(OUTPUT + kind), self.policy.options)
        if wanted("remote_link"):
            scanners += (UrlScanner(self._hosts),)
        return scanners

    def _steps(self, judge: OutputJudge, asked: Asked) -> list[OutputStep]:
        options = self.policy.options
        steps: list[OutputStep] = []
        if judge.wants("control_character"):
            steps.append(ControlCharacters(judge, terminal=options.sink == "terminal"))
        steps += self.watches(asked, judge)
        steps += self._cleaners(judge, asked)
        steps += self._sink(judge, asked)
        if judge.wants("repetition"):
            steps.append(LoopWatch(judge))
        if options.answer_characters_max and judge.wants("long_output"):
            steps.append(LengthWatch(judge, options.answer_characters_max))
        return steps

    def _cleaners(self, judge: OutputJudge, asked: Asked) -> list[OutputStep]:
        steps: list[OutputStep] = []
        if self._told:
            steps.append(_Observer(self._told, judge))
        if self._changed:
            steps.append(Redaction(self._changed, lambda hit: _instead(hit, judge)))
        if asked.restored:
            steps.append(Restoration(_in_json(asked.restored) if asked.is_json else asked.restored))
        steps.append(OutputFilter(self._tokens))
        return steps

    def _sink(self, judge: OutputJudge, asked: Asked) -> list[OutputStep]:
        sink = self.policy.options.sink
        if sink == "auto" and asked.chat:
            sink = "json" if asked.is_json else "markdown"
        if sink == "html" and judge.wants("active_markup"):
            return [HtmlSink(judge)]
        if sink not in {"markdown", "json"} or not any(map(judge.wants, _SHOWN)):
            return []
        steps: list[OutputStep] = [MarkdownGuard(judge, self._hosts, markup=sink == "markdown")]
        if sink == "json" and judge.changes("active_markup"):
            steps.append(JsonSink())
        return steps


class OutputChain:
    """One answer.

    Attributes:
        judge: what was seen in it, and whether it has ended.
    """

    def __init__(self, judge: OutputJudge, steps: Sequence[OutputStep]) -> None:
        self.judge = judge
        self._steps = steps

    @property
    def stopped(self) -> Stopped | None:
        """What has ended the answer; None while it goes on."""
        return Stopped(self.judge.stopped) if self.judge.stopped else None

    def feed(self, text: str) -> str:
        """Return what may go out now; it may be empty."""
        if self.judge.stopped:
            return ""
        for number, step in enumerate(self._steps):
            text = step.feed(text)
            if self.judge.stopped:
                return self._end(text, number + 1)
        return text

    def flush(self) -> str:
        """Return what was held back when the answer ended."""
        return "" if self.judge.stopped else self.rest()

    def rest(self) -> str:
        """Return what was held back when something beside the text has ended the answer."""
        return self._end("", 0)

    def _end(self, text: str, first: int) -> str:
        """Take the last text through the steps from one on, with what they hold back."""
        for step in self._steps[first:]:
            before = self.judge.stopped
            text = step.feed(text)
            if self.judge.stopped == before:
                text += step.flush()
        return text


@lru_cache(maxsize=256)
def output_rules(policy: SanitationPolicy, tokens: ControlTokens) -> OutputRules:
    """Return the way out of a policy for a model; kept, because patterns take time to make."""
    return OutputRules(policy, tokens)


class _Observer:
    """Counts what is only reported; the text is not held up for it, and looked at in one go."""

    def __init__(self, scanners: Sequence[Scanner], judge: OutputJudge) -> None:
        self._window = Redaction(scanners, lambda hit: _instead(hit, judge))
        self._unseen: list[str] = []
        self._characters = 0

    def feed(self, text: str) -> str:
        self._unseen.append(text)
        self._characters += len(text)
        if self._characters >= _OBSERVED_CHARACTERS:
            self._look()
        return text

    def flush(self) -> str:
        self._look()
        self._window.flush()
        return ""

    def _look(self) -> None:
        self._window.feed("".join(self._unseen))
        self._unseen.clear()
        self._characters = 0


def _in_json(restored: Mapping[str, str]) -> Mapping[str, str]:
    """Return the same as a text in JSON holds it: no quote of a value may end that text."""
    return {name: json.dumps(value)[1:-1] for name, value in restored.items()}


def _instead(hit: Hit, judge: OutputJudge) -> str | None:
    kind = hit.kind if hit.kind == "remote_link" else OUTPUT + hit.kind
    return None if judge.found(kind) is Handling.REFUSE else mark_of(hit.kind)
