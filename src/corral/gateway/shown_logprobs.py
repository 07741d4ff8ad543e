"""Log-probabilities of an answer that a policy changes: they end where its text first differs.

Trust: gateway [net]. Input: hostile tokens of a worker, bounded by `engine.conversation`. Tokens
are a second list of the same answer, which a worker may fill as it likes; so they go through a way
out of their own, put together. As long as what comes out of it is what went in, its tokens are
shown; from the first character on that is changed or cut, none is any more.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from corral.engine.wire import TokenLogprob, TopLogprob
from corral.gateway.logprobs import LogprobFilter, Logprobs
from corral.guard.output_chain import Asked, OutputChain, OutputRules
from corral.guard.special_tokens import REPLACEMENT, ControlTokens

_LONG: Final = 12
"""An alternative of fewer characters holds no secret alone."""


class ShownLogprobs:
    """One answer's tokens.

    Args:
        tokens: control tokens of the model.
        rules: the way out of the request's policy.
        asked: of the request.
    """

    def __init__(self, tokens: ControlTokens, rules: OutputRules, asked: Asked) -> None:
        self._filter = LogprobFilter(tokens)
        self._rules = rules
        self._asked = asked
        self._chain: OutputChain | None = rules.chain(asked)
        self._waiting: deque[TokenLogprob] = deque()
        self._text = ""  # of those that wait
        self._shown = 0  # characters of it that came out as they went in

    def feed(self, logprobs: Logprobs) -> Logprobs:
        """Return the tokens that may go out now; it may be none."""
        return self._take(self._filter.feed(logprobs), last=False)

    def flush(self) -> Logprobs:
        """Return what was held back when the answer ended."""
        return self._take(self._filter.flush(), last=True)

    def _take(self, logprobs: Logprobs, *, last: bool) -> Logprobs:
        if self._chain is None:
            return ()
        self._waiting += logprobs
        came = "".join(one.token for one in logprobs)
        self._text += came
        went = self._chain.feed(came)
        if last and not self._chain.judge.stopped:
            went += self._chain.flush()
        same = _alike(self._text[self._shown :], went)
        self._shown += same
        if same < len(went) or self._chain.judge.stopped:
            self._chain = None
        out: list[TokenLogprob] = []
        while self._waiting and len(self._waiting[0].token) <= self._shown:
            one = self._waiting.popleft()
            self._shown -= len(one.token)
            self._text = self._text[len(one.token) :]
            out.append(self._without_secrets(one))
        return tuple(out)

    def _without_secrets(self, one: TokenLogprob) -> TokenLogprob:
        if all(len(top.token) < _LONG for top in one.top_logprobs):
            return one
        tops = tuple(self._alternative(top) for top in one.top_logprobs)
        return msgspec.structs.replace(one, top_logprobs=tops)

    def _alternative(self, top: TopLogprob) -> TopLogprob:
        chain = self._rules.chain(self._asked)
        if len(top.token) < _LONG or chain.feed(top.token) + chain.flush() == top.token:
            return top
        return msgspec.structs.replace(top, token=REPLACEMENT, bytes=None)


def _alike(one: str, two: str) -> int:
    """Return how many characters two texts have in common from their beginnings on."""
    pairs = zip(one, two, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(two)))
