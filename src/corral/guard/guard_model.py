"""A guard model's part: which pieces of a text it is asked about, and what its answer means.

Trust: gateway [net]; pure. Input: hostile texts; answers of a hostile engine. A guard model is any
chat model whose answer begins with one of two words, such as Llama Guard ("safe", or "unsafe" and
the categories): its own chat template makes its task of a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from corral.guard.finding import Finding, Handling, Part
from corral.guard.input_chain import Seen
from corral.guard.options import Options
from corral.guard.policy import SanitationPolicy

KIND: Final = "guard_model_unsafe"
ANSWER_TOKENS: Final = 8
"""The word that counts is the first one; some models write a line feed before it."""
_OVERLAP_CHARACTERS: Final = 256
_WORD: Final = re.compile(r"[^\W_]+")


def wants_guard_model(policy: SanitationPolicy) -> bool:
    """Return whether a policy has texts looked at by a guard model."""
    return policy.options.guard_model != "" and policy.effective()[KIND] is not Handling.ALLOW


def pieces(text: str, characters: int) -> Iterator[str]:
    """Yield a text in overlapping pieces of at most so many characters, more than 256.

    What is forbidden and shorter than the overlap is whole in one of them.
    """
    start = 0
    while True:
        yield text[start : start + characters]
        if start + characters >= len(text):
            return
        start += characters - _OVERLAP_CHARACTERS


def is_unsafe(answer: str, options: Options) -> bool | None:
    """Return what an answer says; None if it says neither."""
    first = _WORD.search(answer)
    word = first.group().casefold() if first else ""
    return {options.guard_safe.casefold(): False, options.guard_unsafe.casefold(): True}.get(word)


def unsafe(policy: SanitationPolicy, part: Part) -> Seen:
    """Return the finding of a text that the guard model calls unsafe."""
    finding = Finding(KIND, 0, len(part.text), policy.options.guard_model)
    return Seen(part.param, finding, policy.handling[KIND])
