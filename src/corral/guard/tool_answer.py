"""The way out of an answer that may hold calls: its texts by one way, each call by another.

Trust: gateway [net]. Input: a hostile answer, piece by piece. Frames are looked for before anything
else: the steps of the way out change what a text means where it is shown, and a call is not shown.
What is no frame goes through the way out as if the frames were not there.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final, NamedTuple, TypeVar

from corral.guard.call_parser import CallParser, ForcedCalls, FramedCalls, Piece
from corral.guard.call_rules import CallRules, Work
from corral.guard.output_chain import Asked, OutputChain, OutputRules
from corral.guard.tool_use import ToolCall, ToolUse, Withheld

_T = TypeVar("_T")
_PIECE_CHARACTERS: Final = 2048


class Spoken(NamedTuple):
    """What may go out.

    Attributes:
        looked_at: characters that were looked at for it, beside those that were fed.
    """

    text: str = ""
    call: ToolCall | None = None
    looked_at: int = 0


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

    def feed(self, text: str) -> Iterator[Spoken]:
        """Yield what may go out now; between two pieces somebody else may get a turn."""
        return self._take(self._parser.feed(text))

    def flush(self) -> Iterator[Spoken]:
        """Yield what was held back when the answer ended."""
        yield from self._take(self._parser.flush())
        yield Spoken(self._chain.flush())

    def _take(self, pieces: list[Piece]) -> Iterator[Spoken]:
        for piece in pieces:
            if self._chain.stopped is not None:
                return
            if isinstance(piece, str):
                yield Spoken(self._chain.feed(piece))
                continue
            work = self._rules.take(piece)
            call = yield from _spoken(work)
            if isinstance(call, ToolCall):
                self.called = True
                yield Spoken(call=call)
            elif call is not None:
                self.withheld.append(call)
            if self._chain.stopped is not None:
                # What was said before the call is not held against it.
                yield Spoken(self._chain.rest())


def _spoken(work: Work[_T]) -> Generator[Spoken, None, _T]:
    try:
        while True:
            yield Spoken(looked_at=next(work))
    except StopIteration as ended:
        result: _T = ended.value
        return result


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

    def clean(text: str) -> Work[str]:
        value = rules.value_chain(asked, judge)
        cleaned: list[str] = []
        for at in range(0, len(text), _PIECE_CHARACTERS):
            piece = text[at : at + _PIECE_CHARACTERS]
            for watch in watches:
                watch.feed(piece)
            cleaned.append(value.feed(piece))
            yield len(piece)
        for watch in watches:
            watch.feed(" ")
        return "".join((*cleaned, value.flush()))

    forced = ForcedCalls(several=use.calls_max > 1) if use.is_forced else None
    calls = CallRules(use, rules.policy.options, judge, clean, tainted=tainted)
    return ToolAnswer(forced or FramedCalls(), calls, chain)
