"""Examine one chat template: what it may do, what it does, and what it says.

Trust: scan jail. Input: untrusted text of a model file and the texts of its vocabulary's control
tokens. Never raises: a failure of ours is a finding, as every check that cannot run denies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from corral.admission.report import Finding
from corral.admission.template.allowlist import check_words
from corral.admission.template.characters import check_literals, check_text
from corral.admission.template.conditions import check_conditions
from corral.admission.template.folding import Folder
from corral.admission.template.growth import check_growth
from corral.admission.template.limits import TEXT_BYTES
from corral.admission.template.semantics import check_semantics
from corral.admission.template.syntax import Template, parse_template

_PER_CODE: Final = 4
"""Findings of one code that are shown: more say nothing new."""
_UNSAFE_TO_RUN: Final = frozenset({"template_ssti", "template_io", "template_dos"})


def analyse_template(
    name: str, text: str, *, control_tokens: tuple[str, ...], bos: str = "", eos: str = ""
) -> tuple[Finding, ...]:
    """Return what was found, worst first; nothing for a template that only does its work.

    1. parse within bounds
    2. look for characters that hide, whether it parses or not
    3. hold the tree against what templates need and what engines bear
    4. render conversations and compare, if nothing so far forbids to run it

    Args:
        name: key of the file that the template stands under.
        text: the template.
        control_tokens: texts of the vocabulary's control tokens.
        bos: text of the token that begins a text.
        eos: text of the token that ends an answer.
    """
    shown = name.encode("unicode_escape").decode("ascii")[:100]
    found: list[Finding] = []
    try:
        found += _examine(shown, text, control_tokens, bos, eos)
    except (MemoryError, RecursionError):
        found.append(
            Finding("template_dos", "flag", "the template needs more than a check may use", shown)
        )
    except Exception:
        found.append(Finding("template_error", "flag", "the template could not be checked", shown))
    return _shortened(found)


def _examine(
    name: str, text: str, control_tokens: tuple[str, ...], bos: str, eos: str
) -> Iterator[Finding]:
    # 1
    template = parse_template(name, text)
    if isinstance(template, Finding):
        yield template
    # 2
    yield from check_text(name, text[:TEXT_BYTES], control_tokens)
    if not isinstance(template, Template):
        return
    # 3
    folder = Folder(template.tree)
    found = [
        *check_words(template, folder),
        *check_growth(template, folder),
        *check_literals(template, folder, control_tokens),
        *check_conditions(template, folder),
    ]
    yield from found
    # 4
    if not any(finding.code in _UNSAFE_TO_RUN for finding in found):
        yield from check_semantics(
            template, folder, control_tokens=control_tokens, bos=bos, eos=eos
        )


def _shortened(found: list[Finding]) -> tuple[Finding, ...]:
    kept: list[Finding] = []
    counts: dict[str, int] = {}
    order = {"reject": 0, "flag": 1, "info": 2}
    for finding in sorted(dict.fromkeys(found), key=lambda one: order[one.severity]):
        counts[finding.code] = counts.get(finding.code, 0) + 1
        if counts[finding.code] <= _PER_CODE:
            kept.append(finding)
    return tuple(kept)
