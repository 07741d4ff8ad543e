r"""Answers that are put into a page or read as JSON: what could run there is shown instead.

Trust: gateway [net]. Input: a hostile answer, piece by piece.

HTML comes piece by piece, too, and must be harmless at every moment, so that it is no work for a
parser of whole documents: only plain elements without attributes pass, `<` of everything else
becomes `&lt;`. An element that was not opened is not closed, so that an answer cannot leave the
place where a page puts it; what stays open is closed at the end.

In JSON a `<` can only stand in a string; written as `\u003c` it means the same to every reader of
JSON and nothing to a page that the document is pasted into.
"""

from __future__ import annotations

import re
from typing import Final

from corral.guard.finding import Handling
from corral.guard.output_judge import OutputJudge

_PLAIN: Final = frozenset({
    "b", "blockquote", "code", "dd", "del", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5",
    "h6", "i", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s", "small", "span", "strong",
    "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul",
})  # fmt: skip
_EMPTY: Final = frozenset({"br", "hr", "wbr"})
_ELEMENT: Final = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,9})[ ]?(/?)>")
_BEGUN: Final = re.compile(r"<(?:/?(?:[A-Za-z][A-Za-z0-9]{0,9}[ ]?/?)?)?\Z")
_MARKUP: Final = re.compile(r"<[A-Za-z/!?]")
_DEPTH_MAX: Final = 64


class HtmlSink:
    """An answer that a page shows as HTML."""

    def __init__(self, judge: OutputJudge) -> None:
        self._judge = judge
        self._held = ""
        self._open: list[str] = []

    def feed(self, text: str) -> str:
        """Return what may go on now."""
        text = self._held + text
        begun = _BEGUN.search(text)
        cut = begun.start() if begun else len(text)
        self._held = text[cut:]
        return self._shown(text[:cut])

    def flush(self) -> str:
        """Return what was held back, and the ends of what is still open."""
        text, self._held = self._held, ""
        ends = "".join(f"</{name}>" for name in reversed(self._open))
        self._open.clear()
        return self._shown(text) + ends

    def _shown(self, text: str) -> str:
        out: list[str] = []
        at = 0
        while (start := text.find("<", at)) >= 0:
            out.append(text[at:start])
            found = _ELEMENT.match(text, start)
            if found and self._passes(found[2].lower(), closing=bool(found[1])):
                out.append(f"<{found[1]}{found[2].lower()}>")
                at = found.end()
                continue
            handling = Handling.CLEAN
            if _MARKUP.match(text, start):
                handling = self._judge.found("active_markup")
                if handling is Handling.REFUSE:
                    return "".join(out)
            out.append("<" if handling is Handling.REPORT else "&lt;")
            at = start + 1
        out.append(text[at:])
        return "".join(out)

    def _passes(self, name: str, *, closing: bool) -> bool:
        if name in _EMPTY:
            return not closing
        if name not in _PLAIN:
            return False
        if not closing:
            if len(self._open) >= _DEPTH_MAX:
                return False
            self._open.append(name)
            return True
        if not self._open or self._open[-1] != name:
            return False
        self._open.pop()
        return True


_IN_JSON: Final = str.maketrans({
    "<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029",
})  # fmt: skip


class JsonSink:
    """An answer that is read as JSON."""

    def feed(self, text: str) -> str:
        """Return the text with what a page would read written as JSON's escapes."""
        return text.translate(_IN_JSON)

    def flush(self) -> str:
        """Return nothing: nothing is held back."""
        return ""
