"""Log-probabilities on their way out: no control token in them, whatever the token borders.

Trust: gateway [net]. Input: hostile tokens of a worker, bounded by `engine.conversation`. The text
of an answer and its log-probabilities are two lists that a worker may fill as it likes, so each is
cleaned for itself: here the tokens in their order, with the same hold-back as `guard.output`.

What comes out: the tokens put together are the text with every control token replaced. The first
token of a replaced one carries the replacement, the others lose their part of it. An alternative is
judged after the tokens that were chosen before it. `bytes` are never a worker's: they are made from
the cleaned token, or left out where the engine's were not its text (a part of a character).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from corral.engine.wire import TokenLogprob, TopLogprob
from corral.guard.special_tokens import ControlTokens

Logprobs = tuple[TokenLogprob, ...]


@dataclass(slots=True)
class _Held:
    """A token that waits for those after it, with what is left of its text."""

    raw: TokenLogprob
    text: str
    alternatives: tuple[str, ...]


class LogprobFilter:
    """One answer's tokens."""

    __slots__ = ("_held", "_text", "_tokens")

    def __init__(self, tokens: ControlTokens) -> None:
        self._tokens = tokens
        self._held: deque[_Held] = deque()
        self._text = ""

    def feed(self, logprobs: Logprobs) -> Logprobs:
        """Return the tokens that may go out now; it may be none."""
        return tuple(clean for one in logprobs for clean in self._take(one))

    def flush(self) -> Logprobs:
        """Return what was held back when the answer ended: it can no longer become a token."""
        rest = tuple(_clean(one) for one in self._held)
        self._held.clear()
        self._text = ""
        return rest

    def _take(self, one: TokenLogprob) -> list[TokenLogprob]:
        tokens = self._tokens
        before = self._text
        alternatives = tuple(self._alternative(before, top.token) for top in one.top_logprobs)
        held = _Held(one, one.token, alternatives)
        if not before and tokens.harmless(one.token):
            return [_clean(held)]
        self._held.append(held)
        self._text = before + one.token
        spans = tokens.spans(self._text)
        if spans:
            self._cut_out(spans)
        safe = tokens.held_from(self._text)
        out: list[TokenLogprob] = []
        end = 0
        while self._held and end + len(self._held[0].text) <= safe:
            first = self._held.popleft()
            end += len(first.text)
            out.append(_clean(first))
        self._text = self._text[end:]
        return out

    def _alternative(self, before: str, text: str) -> str:
        if not before and self._tokens.harmless(text):
            return text
        spans = self._tokens.spans(before + text)
        if not spans:
            return text
        return _part(before + text, (len(before), len(before) + len(text)), spans,
                     self._tokens.replacement, everywhere=True)  # fmt: skip

    def _cut_out(self, spans: list[tuple[int, int]]) -> None:
        start = 0
        for one in self._held:
            end = start + len(one.text)
            one.text = _part(self._text, (start, end), spans, self._tokens.replacement)
            start = end
        self._text = "".join(one.text for one in self._held)


def _part(
    text: str,
    window: tuple[int, int],
    spans: list[tuple[int, int]],
    replacement: str,
    *,
    everywhere: bool = False,
) -> str:
    """Return a window of `text` without the spans.

    Args:
        text: everything.
        window: from where to where.
        spans: what is replaced, in order.
        replacement: stands where a span begins.
        everywhere: it also stands for a span that began before the window.
    """
    at, end = window
    parts: list[str] = []
    for first, last in spans:
        if last <= at or first >= end:
            continue
        parts.append(text[at:first])
        if first >= at or everywhere:
            parts.append(replacement)
        at = min(last, end)
    parts.append(text[at:end])
    return "".join(parts)


def _clean(one: _Held) -> TokenLogprob:
    raw = one.raw
    return TokenLogprob(
        token=one.text,
        logprob=raw.logprob,
        bytes=_bytes(raw, one.text),
        top_logprobs=tuple(
            _top(top, one.text if top.token == raw.token else text)
            for top, text in zip(raw.top_logprobs, one.alternatives, strict=True)
        ),
    )


def _top(top: TopLogprob, text: str) -> TopLogprob:
    return TopLogprob(token=text, logprob=top.logprob, bytes=_bytes(top, text))


def _bytes(raw: TokenLogprob | TopLogprob, text: str) -> tuple[int, ...] | None:
    if raw.bytes is None or raw.bytes != tuple(raw.token.encode()):
        return None
    return tuple(text.encode())
