"""The way out of an answer that may hold calls: its texts by one way, each call by another.

Trust: gateway [net]. Input: a hostile answer, piece by piece. Frames are looked for before anything
else: the steps of the way out change what a text means where it is shown, and a call is not shown.
What is no frame goes through the way out as if the frames were not there.
"""

from __future__ import annotations

from typing import NamedTuple

from corral.guard.call_parser import CallParser, ForcedCalls, FramedCalls, Piece
from corral.guard.call_rules import CallRules
from corral.guard.output_chain import Asked, OutputChain, OutputRules
from corral.guard.tool_use import ToolCall, ToolUse, Withheld


class Spoken(NamedTuple):
    """What may go out."""

    text: str
    calls: tuple[ToolCall, ...] = ()


class ToolAnswer:
    """One answer.

    Attributes:
        withheld: calls that the client does not get.
        called: it has got one.
    """

    def __init__(self, parser: CallParser, rules: CallRules, chain: OutputChain) -> None:
        self.withheld: list[Withheld] = []
        self.called = False
        self._parser = parser
        self._rules = rules
        self._chain = chain

    def feed(self, text: str) -> Spoken:
        """Return what may go out now."""
        return self._take(self._parser.feed(text))

    def flush(self) -> Spoken:
        """Return what was held back when the answer ended."""
        spoken = self._take(self._parser.flush())
        return Spoken(spoken.text + self._chain.flush(), spoken.calls)

    def _take(self, pieces: list[Piece]) -> Spoken:
        texts: list[str] = []
        calls: list[ToolCall] = []
        for piece in pieces:
            if self._chain.stopped is not None:
                break
            if isinstance(piece, str):
                texts.append(self._chain.feed(piece))
                continue
            call = self._rules.take(piece)
            if isinstance(call, ToolCall):
                calls.append(call)
                self.called = True
            elif call is not None:
                self.withheld.append(call)
            if self._chain.stopped is not None:
                # What was said before the call is not held against it.
                texts.append(self._chain.rest())
        return Spoken("".join(texts), tuple(calls))


def tool_answer(
    rules: OutputRules, chain: OutputChain, asked: Asked, use: ToolUse, *, tainted: bool
) -> ToolAnswer:
    """Return the way out of an answer that may call tools.

    Args:
        rules: the way out of the request's policy.
        chain: what the texts of the answer go through.
        asked: of the request.
        use: tools of the request.
        tainted: the model has read texts of strangers.
    """
    judge = chain.judge
    watches = rules.watches(asked, judge)

    def clean(text: str) -> str:
        for watch in watches:
            watch.feed(text + " ")
        value = rules.value_chain(asked, judge)
        return value.feed(text) + value.flush()

    forced = ForcedCalls(several=use.calls_max > 1) if use.is_forced else None
    calls = CallRules(use, rules.policy.options, judge, clean, tainted=tainted)
    return ToolAnswer(forced or FramedCalls(), calls, chain)
