"""The way in of a request's texts: stage after stage, by one policy and for one model.

Trust: gateway [net] and command line; pure. Input: hostile texts, bounded by the request's body.

    1 text            what no text is                              guard.text
    2 unicode         what nobody sees, then NFC                   guard.unicode
    3 html            markup of tools and documents                guard.html
    4 private_data    secrets and personal data                    guard.private_data
    5 special_tokens  the model's control tokens; last: nothing    guard.special_tokens
                      may change a text after it
    6 rules           what attacks say; looks at copies            guard.injection_rules

A chain is made once for each policy and model. Where a stage finds what the policy refuses, nothing
after it is looked at; what it says of places is turned back to the text as it came.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from corral.guard.alignment import Alignment, apply
from corral.guard.finding import Finding, Handling, Part, Stage
from corral.guard.kinds import KINDS
from corral.guard.placeholders import Placeholders
from corral.guard.policy import SanitationPolicy
from corral.guard.private_data import PrivateDataStage
from corral.guard.special_tokens import ControlTokens, SpecialTokenStage
from corral.guard.text import TextStage
from corral.guard.unicode import InvisibleStage, NormalStage


@dataclass(frozen=True, slots=True)
class Seen:
    """One finding in a request, as the policy judged it.

    Attributes:
        param: the request's field.
        finding: its places are of the text as it came.
        handling: what the policy says; in mode `report` it is not done.
    """

    param: str
    finding: Finding
    handling: Handling

    @property
    def code(self) -> str:
        """Return the stable code of a refusal for it."""
        return f"input_rejected.{self.finding.kind}"

    @property
    def message(self) -> str:
        """Return why a request is refused for it, with none of its text."""
        note = f", {self.finding.note}" if self.finding.note else ""
        return f"{KINDS[self.finding.kind].message} (from character {self.finding.start}{note})"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of a request's texts.

    Attributes:
        texts: one for each part, as the model may read it; as they came where it was refused.
        seen: in the order in which it was seen.
        refused: for what the request is refused; None if it is not.
        spent_s: time by stage, in seconds.
        restored: what comes back in the answer, by the placeholder that stands for it.
    """

    texts: tuple[str, ...]
    seen: tuple[Seen, ...]
    refused: Seen | None
    spent_s: Mapping[str, float] = field(compare=False)
    restored: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """What one stage made of one text.

    Attributes:
        text: after it.
        refused: for what it is refused; None if it is not.
    """

    stage: str
    seen: tuple[Seen, ...]
    text: str
    refused: Seen | None
    spent_s: float


class InputChain:
    """All stages of one policy for one model; `input_chain` makes one.

    Attributes:
        policy: whose.
        tokens: the model's.
    """

    def __init__(
        self, policy: SanitationPolicy, tokens: ControlTokens, stages: Sequence[Stage]
    ) -> None:
        self.policy = policy
        self.tokens = tokens
        self._done = policy.effective()
        asked = {
            kind.stage for name, kind in KINDS.items() if self._done[name] is not Handling.ALLOW
        }
        self._stages = tuple(stage for stage in stages if stage.name in asked)

    def run(self, parts: Sequence[Part]) -> Cleaned:
        """Return what becomes of the texts of one request; it raises nothing."""
        texts: list[str] = []
        seen: list[Seen] = []
        spent_s = dict.fromkeys((stage.name for stage in self._stages), 0.0)
        stages, placeholders = self._for_request(parts)
        for part in parts:
            text = part.text
            for step in self._take(part, stages):
                text = step.text
                spent_s[step.stage] += step.spent_s
                seen += step.seen
                if step.refused is not None:
                    came = tuple(one.text for one in parts)
                    return Cleaned(came, tuple(seen), step.refused, spent_s)
            texts.append(text)
        restored = placeholders.restored if placeholders else {}
        return Cleaned(tuple(texts), tuple(seen), None, spent_s, restored)

    def walls(self, parts: Sequence[Part]) -> Seen | None:
        """Return a control token in texts that were put together and that nothing may clean."""
        stage = SpecialTokenStage(self.tokens)
        for part in parts:
            for finding in stage.look(part).findings:
                return Seen(part.param, finding, Handling.REFUSE)
        return None

    def steps(self, part: Part) -> Iterator[Step]:
        """Yield what each stage makes of one text; the one that refuses it is the last."""
        yield from self._take(part, self._for_request((part,))[0])

    def _for_request(self, parts: Sequence[Part]) -> tuple[tuple[Stage, ...], Placeholders | None]:
        placeholders: Placeholders | None = None
        stages: list[Stage] = []
        for stage in self._stages:
            if isinstance(stage, PrivateDataStage):
                stage = stage.for_request(parts)  # noqa: PLW2901
                placeholders = stage.placeholders
            stages.append(stage)
        return tuple(stages), placeholders

    def _take(self, part: Part, stages: Sequence[Stage]) -> Iterator[Step]:
        alignments: list[Alignment] = []
        for stage in stages:
            began_s = time.perf_counter()
            verdict = stage.look(part)
            seen = tuple(
                Seen(part.param, _back(found, alignments), self.policy.handling[found.kind])
                for found in verdict.findings
            )
            refused = next(
                (one for one in seen if self._done[one.finding.kind] is Handling.REFUSE), None
            )
            if verdict.edits and refused is None:
                part = replace(part, text=apply(part.text, verdict.edits))
                alignments.append(Alignment(verdict.edits))
            yield Step(stage.name, seen, part.text, refused, time.perf_counter() - began_s)
            if refused is not None:
                return


def input_chain(policy: SanitationPolicy, tokens: ControlTokens) -> InputChain:
    """Return the way in by one policy and for one model: its stages in their order.

    The heaviest of them are loaded with the first one: a server is ready before that.
    """
    from corral.guard.html import HtmlStage
    from corral.guard.injection_rules import RuleStage

    done, options = policy.effective(), policy.options
    return InputChain(
        policy,
        tokens,
        (
            TextStage(),
            InvisibleStage(done),
            NormalStage(done, options.scripts),
            HtmlStage(done, options.html_origins),
            PrivateDataStage(done, options),
            SpecialTokenStage(tokens),
            RuleStage(done),
        ),
    )


def refused_by_worker(param: str) -> Seen:
    """Return why a worker computed nothing: it has no prompt without a control token of content.

    Args:
        param: the request's field that the model reads; where in it, a worker does not say.
    """
    return Seen(param, Finding("special_token", 0, 0), Handling.REFUSE)


def _back(finding: Finding, alignments: Sequence[Alignment]) -> Finding:
    start, end = finding.start, finding.end
    for alignment in reversed(alignments):
        start, end = alignment.before(start), alignment.before(end, is_end=True)
    return replace(finding, start=start, end=end)
