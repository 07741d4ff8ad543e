"""Words of the system prompt that an answer repeats in a row.

Trust: gateway [net]. Input: a hostile answer, piece by piece. Only letters, digits and `_` count,
and no case. The answer ends before the last word of the run; those before it are out already: this
step holds back nothing but that word.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Final

from corral.guard.finding import Handling
from corral.guard.output_judge import OutputJudge

_WORDS: Final = re.compile(r"\w+")
_PIECES: Final = re.compile(r"(\w+)|\W+")
_WORD_CHARACTERS: Final = 64
_PROMPT_WORDS: Final = 8192
"""Of a longer prompt only the beginning is looked for."""


class PromptLeak:
    """Looks for runs of a request's system prompts.

    Args:
        judge: of the answer.
        prompts: what nobody but the operator of the application wrote.
        words: how many in a row are a leak.
    """

    def __init__(self, judge: OutputJudge, prompts: Iterable[str], words: int) -> None:
        self._judge = judge
        self._runs: set[tuple[str, ...]] = set()
        for prompt in prompts:
            said = [one[0][:_WORD_CHARACTERS].casefold() for one in _WORDS.finditer(prompt)]
            del said[_PROMPT_WORDS:]
            self._runs |= {tuple(said[n : n + words]) for n in range(len(said) - words + 1)}
        self._begun = {run[:-1] for run in self._runs}
        self._last: deque[str] = deque(maxlen=words - 1)
        self._word = ""
        self._held = False

    def feed(self, text: str) -> str:
        """Return what may go on now."""
        out: list[str] = []
        for piece in _PIECES.finditer(text):
            if piece[1] is None:
                if self._end_word(out):
                    return "".join(out)
                out.append(piece[0])
                continue
            if not self._word:
                self._held = tuple(self._last) in self._begun
            if not self._held:
                out.append(piece[1])
            self._word += piece[1]
            if self._held and len(self._word) > _WORD_CHARACTERS:
                out.append(self._word)
                self._held = False
            if not self._held:
                self._word = self._word[: _WORD_CHARACTERS + 1]
        return "".join(out)

    def flush(self) -> str:
        """Return what was held back when the answer ended."""
        out: list[str] = []
        self._end_word(out)
        return "".join(out)

    def _end_word(self, out: list[str]) -> bool:
        """Take a word that is complete; return whether the answer ends before it."""
        if not self._word:
            return False
        word = self._word[:_WORD_CHARACTERS].casefold()
        run = (*self._last, word)
        if run in self._runs and self._judge.found("prompt_leak") is Handling.REFUSE:
            return True
        self._last.append(word)
        if self._held:
            out.append(self._word)
        self._word, self._held = "", False
        return False
