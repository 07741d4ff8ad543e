"""The text of a model's control tokens, as tenants may not send it and models may not show it.

Trust: gateway [net]. Input: untrusted text; the token list of a signed receipt, made from an
untrusted model file; admission bounds their number, their length is bounded here.

llama.cpp parses special tokens in prompts: a tenant who writes `<|im_end|>` in a message ends that
message and forges the next role. The wall against that is the worker (`engine.prompt_ids`): there
no such text becomes a token, whatever is found here. So where a policy has it cleaned, the text
goes on as it is, and the model reads it as characters; rewriting it (a zero-width space, full-width
brackets) would only change what the model reads. Where a policy has it refused, the caller learns
of it. Stop sequences may name control tokens: they are compared with the output and never tokenised
into the prompt.

In the output the text of a control token is replaced by U+FFFD. So an answer can go back into the
next request of a conversation, and a model cannot forge a turn in somebody else's parser. A
replacement, unlike a deletion, cannot put two halves together to a new token: it is U+FFFD, or the
first character that none of the model's control tokens has where one of them has that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from corral.guard.finding import NOTHING, Finding, Part, Verdict

REPLACEMENT: Final = "\ufffd"
_TOKEN_CHARACTERS_MIN: Final = 2
"""One character alone is ordinary text in any vocabulary."""
_TOKEN_CHARACTERS_MAX: Final = 256


class ControlTokens:
    """The control tokens of one model, ready to be looked for.

    Attributes:
        longest: characters of the longest one; 0 if there are none.
        replacement: stands for one in an answer; no control token has this character.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        # A token over the bound is still caught by its beginning.
        usable = {t[:_TOKEN_CHARACTERS_MAX] for t in texts if len(t) >= _TOKEN_CHARACTERS_MIN}
        cut = sorted(usable, key=len, reverse=True)
        self.longest = max((len(t) for t in cut), default=0)
        used = frozenset("".join(cut))
        self.replacement = next(c for c in _replacements() if c not in used)
        self._pattern = re.compile("|".join(map(re.escape, cut))) if cut else None
        firsts = "".join(sorted({re.escape(t[0]) for t in cut}))
        self._first = re.compile(f"[{firsts}]") if cut else None
        self._prefixes = frozenset(t[:n] for t in cut for n in range(1, len(t)))

    def replace(self, text: str) -> str:
        """Return `text` with every control token replaced."""
        if self._pattern is None:
            return text
        return self._pattern.sub(self.replacement, text)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where control tokens begin and end, as `replace` finds them."""
        if self._pattern is None:
            return []
        return [found.span() for found in self._pattern.finditer(text)]

    def held_from(self, text: str) -> int:
        """Return where the longest end of `text` begins that could become a control token."""
        if self._first is None:
            return len(text)
        start = max(0, len(text) - self.longest + 1)
        for found in self._first.finditer(text, start):
            if text[found.start() :] in self._prefixes:
                return found.start()
        return len(text)

    def harmless(self, text: str) -> bool:
        """No control token can be or begin in `text`; the common case, decided fast."""
        return self._first is None or self._first.search(text) is None


class SpecialTokenStage:
    """Finds the text of one model's control tokens; the worker does the cleaning, so no edits."""

    name = "special_tokens"

    def __init__(self, tokens: ControlTokens) -> None:
        self._tokens = tokens

    def look(self, part: Part) -> Verdict:
        """See `guard.finding.Stage`."""
        if self._tokens.harmless(part.text):
            return NOTHING
        spans = self._tokens.spans(part.text)
        return Verdict(tuple(Finding("special_token", *span) for span in spans))


def _replacements() -> Iterator[str]:
    """Yield U+FFFD, then every visible character; no receipt has room for tokens of all of them."""
    yield REPLACEMENT
    yield from (chr(n) for n in range(0xA1, 0x110000) if not 0xD800 <= n <= 0xDFFF)


@lru_cache(maxsize=64)
def control_tokens(texts: tuple[str, ...]) -> ControlTokens:
    """Return the control tokens of a receipt; kept, because compiling large lists takes time."""
    return ControlTokens(texts)
