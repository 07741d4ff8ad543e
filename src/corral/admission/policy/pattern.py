"""Patterns of sources: `*` is anything within one part of a path, `**` anything at all.

Trust: operator side; pure. Input: patterns of the operator, sources that `admission.source` parsed.
A source whose path has `.` or `..` parts, also percent-encoded, or a backslash, matches nothing:
a server or the file system may take it for another place than the pattern names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

_SCHEMES: Final = ("hf://", "pypi://", "ollama://", "oci://", "https://", "file://")
_WILD: Final = re.compile(r"\*\*|\*")


@dataclass(frozen=True, slots=True)
class SourcePattern:
    """One pattern, ready to compare."""

    expression: re.Pattern[str]

    def matches(self, source: str) -> bool:
        """Return whether a source's canonical text is of the pattern."""
        plain = unquote(source)
        if "\\" in plain or any(part in {".", ".."} for part in plain.split("/")):
            return False
        return self.expression.fullmatch(source) is not None


def parse_pattern(text: str) -> SourcePattern | None:
    """Return the pattern that a text means, or None: it has to begin with a scheme in full."""
    if text == "**":
        return SourcePattern(re.compile(r".*"))
    if not text.startswith(_SCHEMES) or "***" in text:
        return None
    parts, position = [], 0
    for wild in _WILD.finditer(text):
        parts.append(re.escape(text[position : wild.start()]))
        parts.append(".*" if wild[0] == "**" else "[^/]*")
        position = wild.end()
    parts.append(re.escape(text[position:]))
    return SourcePattern(re.compile("".join(parts)))
