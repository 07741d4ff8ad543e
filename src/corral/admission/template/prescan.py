"""A linear look at the tokens of a template, before a parser that recurses may see it.

Trust: scan jail. Input: untrusted text of at most `TEXT_BYTES`. Jinja's parser recurses once for
each bracket, block, sign, `not` and inline `if`: 6000 brackets kill an engine's process
(research/artifacts.md, section 3a) and raise RecursionError in Python's.
"""

from __future__ import annotations

from typing import Final

from jinja2 import Environment

from corral.admission.report import Finding
from corral.admission.template.limits import (
    BLOCK_DEPTH,
    BRACKET_DEPTH,
    NUMBER_CHARS,
    TAG_PREFIXES,
    TOKENS,
)

_OPENERS: Final = frozenset({
    "for", "if", "macro", "call", "filter", "with", "block", "autoescape", "generation",
})  # fmt: skip
_SPACE: Final = frozenset({"whitespace", "data", "linecomment"})


def check_tokens(environment: Environment, text: str, where: str) -> Finding | None:
    """Return what forbids to parse the text, or None.

    Raises:
        jinja2.TemplateSyntaxError: the text has a token that is none.
    """
    brackets = blocks = prefixes = count = 0
    before = tag = ""
    for line, kind, value in environment.lexer.tokeniter(text, None):
        count += 1
        place = f"{where}:{line}"
        if count > TOKENS:
            return Finding("template_dos", "flag", "the template has too many parts", place)
        if kind in {"integer", "float"} and len(value) > NUMBER_CHARS:
            return Finding("template_dos", "flag", "a number has too many digits", place)
        if kind in _SPACE:
            continue
        if kind in {"block_end", "variable_end"}:
            blocks += tag == "set"  # with a value it opens nothing, and is unset below
            brackets = prefixes = 0
            tag = ""
        elif kind == "name" and before == "block_begin":
            tag = value
            blocks += (value in _OPENERS) - value.startswith("end")
        elif kind == "operator":
            brackets += (value in "([{") - (value in ")]}")
            if value == "=" and brackets == 0 and tag == "set":
                tag = ""
            prefixes += value in {"-", "+"} and before == "operator"
        elif kind == "name":
            prefixes += value in {"not", "if", "else"}
        if brackets > BRACKET_DEPTH or blocks > BLOCK_DEPTH or prefixes > TAG_PREFIXES:
            return Finding("template_dos", "flag", "the template is nested too deeply", place)
        # A closing bracket ends an operand: a sign behind it is no prefix.
        before = "operand" if kind == "operator" and value in ")]}" else kind
    return None
