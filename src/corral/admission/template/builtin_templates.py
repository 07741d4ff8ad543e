"""Templates of our own, one for each family of control tokens.

Trust: scan jail and operator side; package data in `builtin/`, reviewed, and passed by the
analyser (a test). One is chosen by the tokens that a vocabulary has as control tokens: a template
whose markers are ordinary text could be forged by whoever writes a message.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from corral.admission.template.normal import normalised

WITHOUT_TEMPLATE: Final = "chatml"
"""What an engine gets for a model without a template, as it would take by itself; no chat of such
a model is served."""

_DEEPSEEK: Final = (
    "<\uff5cUser\uff5c> <\uff5cAssistant\uff5c> <\uff5cend\u2581of\u2581sentence\uff5c>"
)


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """One family.

    Attributes:
        needs: control tokens that the vocabulary must have.
        mentions: markers of ordinary text that the template in its place must have had.
    """

    name: str
    needs: frozenset[str]
    mentions: tuple[str, ...] = ()


BUILT_INS: Final = (
    *(
        BuiltIn(name, frozenset(needs.split()))
        for name, needs in (
        ("chatml", "<|im_start|> <|im_end|>"),
        ("llama3", "<|start_header_id|> <|end_header_id|> <|eot_id|>"),
        ("gemma", "<start_of_turn> <end_of_turn>"),
        ("granite", "<|start_of_role|> <|end_of_role|> <|end_of_text|>"),
        ("deepseek", _DEEPSEEK),
        ("phi3", "<|user|> <|assistant|> <|system|> <|end|>"),
        ("mistral", "[INST] [/INST]"),
        )
    ),
    BuiltIn("llama2", frozenset({"<s>", "</s>"}), ("[INST]", "<<SYS>>")),
)  # fmt: skip


def fitting_built_in(control_tokens: Collection[str], text: str) -> str:
    """Return the name of the family whose tokens a vocabulary has; empty if none fits.

    Args:
        control_tokens: texts of the vocabulary's control tokens.
        text: the template that is to be replaced.
    """
    have = frozenset(control_tokens)
    fitting = [
        one
        for one in BUILT_INS
        if one.needs <= have and all(marker in text for marker in one.mentions)
    ]
    return max(fitting, key=lambda one: len(one.needs)).name if fitting else ""


@cache
def built_in_text(name: str) -> str:
    """Return the template of a family, in normal form.

    Raises:
        KeyError: there is none of that name.
    """
    if name not in {one.name for one in BUILT_INS}:
        raise KeyError(name)
    place = files("corral.admission.template").joinpath("builtin", f"{name}.jinja")
    return normalised(place.read_text(encoding="utf-8"))
