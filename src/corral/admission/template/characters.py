"""Characters that people do not see, or take for others.

Trust: scan jail. Input: untrusted text and trees. A model reads what a reviewer cannot: tag
characters spell ASCII, direction marks reorder, and an end marker with one Cyrillic letter never
ends a turn.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from jinja2 import nodes

from corral.admission.report import Finding
from corral.admission.template.confusables import has_lookalike, scripts, skeleton
from corral.admission.template.folding import Folder
from corral.admission.template.syntax import Template, walk

_SAFE_CONTROLS: Final = frozenset("\t\n\r")
_BLANKS: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")
"""Letters and symbols that are drawn as nothing."""
_SPACES: Final = frozenset(" \u00a0\u3000\u202f\u2009")
_JOINER, _EMOJI_FORM = "\u200d", "\ufe0f"
_WORD: Final = re.compile(r"[^\W\d_]+")
_MARKER: Final = re.compile(
    r"[<\u2039\u276e\u3008\u27e8\uff1c][^<>\s]{1,60}?[>\u203a\u276f\u3009\u27e9\uff1e]"
    r"|[\[\uff3b][^\[\]\s]{1,60}?[\]\uff3d]"
)
_ROLES: Final = frozenset({"user", "assistant", "system", "tool", "developer", "model", "content",
    "role"})  # fmt: skip
_COMBINING: Final = 3


def check_text(name: str, text: str, control_tokens: Iterable[str]) -> Iterator[Finding]:
    """Yield `template_unicode` for characters that hide, each kind once."""
    known = frozenset("".join(token for token in control_tokens if not token.isascii()))
    seen: set[str] = set()
    for line, character, reason in _strange(text, known):
        if reason not in seen:
            seen.add(reason)
            place = f"{name}:{line} U+{ord(character):04X}"
            yield Finding("template_unicode", "flag", reason, place[:160])


def check_literals(
    template: Template, folder: Folder, control_tokens: tuple[str, ...]
) -> Iterator[Finding]:
    """Yield `template_unicode` for texts of the template that pass for others."""
    markers = Markers(control_tokens)
    for node, _, _ in walk(template.tree):
        if not isinstance(node, nodes.Expr):
            continue
        text = node.data if isinstance(node, nodes.TemplateData) else folder.text(node)
        if not text:
            continue
        if isinstance(node, nodes.Const):  # an escape of the source is a character only here
            yield from check_text(f"{template.name}:{node.lineno}", text, control_tokens)
        reason = markers.confusion(text)
        if reason:
            yield Finding("template_unicode", "flag", reason, template.at(node))


class Markers:
    """The control tokens of a vocabulary, and what passes for one of them."""

    def __init__(self, control_tokens: tuple[str, ...]) -> None:
        self._known = frozenset(control_tokens)
        self._skeletons = frozenset(skeleton(token) for token in control_tokens)

    def confusion(self, text: str) -> str:
        """Return why a text passes for another, or nothing."""
        for match in _MARKER.finditer(text):
            marker = match[0]
            if marker in self._known:
                continue
            if skeleton(marker) in self._skeletons and not marker.isascii():
                return "a marker looks like a control token and is none"
            if skeleton(marker) in self._skeletons and self._skeletons:
                return "a marker is a control token but for its case"
            kinds = scripts(marker)
            if kinds - {"LATIN"} and ("LATIN" in kinds or has_lookalike(marker)):
                return "a marker has letters that pass for others"
        if text.isascii():
            return ""
        for match in _WORD.finditer(text):
            word = match[0]
            if word.isascii() or word in self._known:
                continue
            kinds = scripts(word)
            if "LATIN" in kinds and len(kinds) > 1 and has_lookalike(word):
                return "a word is written in letters of two scripts"
            if skeleton(word) in _ROLES:
                return "a word passes for the name of a role"
        return ""


def _strange(text: str, known: frozenset[str]) -> Iterator[tuple[int, str, str]]:
    line, combining = 1, 0
    for at, character in enumerate(text):
        if character == "\n":
            line += 1
        if " " <= character <= "~" or character in _SAFE_CONTROLS or character in known:
            combining = 0
            continue
        before = text[at - 1] if at else ""
        category = unicodedata.category(character)
        combining = combining + 1 if category in {"Mn", "Me"} else 0
        reason = _reason(character, category, before, text[at + 1 : at + 2])
        if combining > _COMBINING:
            reason = "marks are piled on one letter"
        if reason:
            yield line, character, reason


def _reason(character: str, category: str, before: str, after: str) -> str:
    code = ord(character)
    if 0xE0000 <= code <= 0xE0FFF:
        return "tag characters and variation selectors spell text that nobody sees"
    if 0xFE00 <= code <= 0xFE0F:
        pictorial = before and unicodedata.category(before) in {"So", "Sm", "Sk", "Po", "Nd"}
        return "" if pictorial and character == _EMOJI_FORM else "a variation selector hides text"
    if character == _JOINER and before and after:
        joined = {unicodedata.category(before), unicodedata.category(after)}
        return "" if joined <= {"So", "Sk", "Mn"} else "a character has no width"
    if character in _BLANKS or category == "Cf":
        return "a character has no width or changes the direction of text"
    if category == "Cc":
        return "a control character"
    if category in {"Co", "Cn", "Cs"}:
        return "a character that has no meaning of its own"
    if category in {"Zl", "Zp"} or (category == "Zs" and character not in _SPACES):
        return "an unusual space"
    return ""
