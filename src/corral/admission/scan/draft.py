"""Drafts: a small model that guesses ahead for a larger one must count its tokens as that one does.

Trust: scan jail. Input: untrusted vocabularies, each sound by itself. llama.cpp compares the same
(`common_speculative_are_compatible`), but translates between vocabularies where they differ.
"""

from __future__ import annotations

from typing import Final

from corral.admission.report import Finding
from corral.admission.scan.tokenizer import Vocabulary
from corral.admission.scan.values import Values

_DIFFERENCE: Final = 128
"""`SPEC_VOCAB_MAX_SIZE_DIFFERENCE`: vocabularies are padded differently."""
_SAME: Final = (
    "tokenizer.ggml.model", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token",
)  # fmt: skip


def check_draft(
    draft: tuple[Values, Vocabulary], target: tuple[Values, Vocabulary]
) -> tuple[Finding, ...]:
    """Return what speaks against using one model as the draft of the other."""
    (values, own), (target_values, others) = draft, target
    if abs(len(own.tokens) - len(others.tokens)) > _DIFFERENCE:
        return (_finding("the draft's vocabulary has another size than its target's"),)
    for key in _SAME:
        if _scalar(values, key) != _scalar(target_values, key):
            return (_finding("the draft's tokenizer is set otherwise than its target's", key),)
    for number, (one, other) in enumerate(zip(own.tokens.raws(), others.tokens.raws())):  # noqa: B905
        if one != other or own.types[number] != others.types[number]:
            where = one[:64].decode("ascii", "backslashreplace").encode("unicode_escape").decode()
            return (_finding("a token of the draft is another one in its target", where[:160]),)
    return ()


def _scalar(values: Values, key: str) -> object:
    return tuple(values.value(key).items[:1]) if key in values else None


def _finding(message: str, where: str = "") -> Finding:
    return Finding("draft_vocab", "flag", message, where)
