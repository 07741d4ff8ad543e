"""Markup in texts that come from elsewhere: scripts, comments and hidden things are taken out.

Trust: gateway [net] and command line; pure. Input: untrusted text. The parser is html5ever through
nh3 (Rust), the one that browsers agree with, so nothing hides between two readings of a document.

Only where a policy asks, and by default only for what tools and documents say: a user who asks
about HTML means it. What is kept is formatting without attributes, and links to https and mailto.
Images go, since a request for one carries data away. What a page hides by style stays, as text that
can be seen: rules and detectors look at it like at the rest.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

import nh3

from corral.guard.finding import NOTHING, Edit, Finding, Handling, Origin, Part, Verdict

_MARKUP: Final = re.compile(r"(?<!<)<++[A-Za-z/!?]")
_ACTIVE: Final = re.compile(
    r"<\s*/?(?:script|style|iframe|object|embed|svg|math|form|link|meta|base|img|template)\b"
    r"|\son[a-z]{3,20}\s*=|javascript:|<!--",
    re.IGNORECASE,
)
_TAGS: Final = frozenset(
    {"a", "abbr", "b", "blockquote", "br", "caption", "code", "dd", "del", "div", "dl", "dt", "em",
     "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "ins", "kbd", "li", "ol", "p", "pre", "q", "s",
     "samp", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th",
     "thead", "tr", "u", "ul", "var"}
)  # fmt: skip
_WITH_CONTENT: Final = frozenset(
    {"script", "style", "iframe", "object", "noscript", "template", "svg", "math", "title"}
)
_CLEANER: Final = nh3.Cleaner(
    tags=set(_TAGS),
    clean_content_tags=set(_WITH_CONTENT),
    attributes={"a": {"href"}},
    url_schemes={"https", "mailto"},
    strip_comments=True,
    link_rel=None,
)
_DEPTH_MAX: Final = 256
_OPENING: Final = re.compile(r"<[A-Za-z]")


class HtmlStage:
    """Cleans markup.

    Args:
        handling: what the policy does with `html_content`.
        origins: whose texts are looked at.
    """

    name = "html"

    def __init__(
        self,
        handling: Mapping[str, Handling],
        origins: Collection[Origin] = ("tool", "document"),
    ) -> None:
        self._handling = handling.get("html_content", Handling.ALLOW)
        self._origins = frozenset(origins)

    def look(self, part: Part) -> Verdict:
        """Return what of one text is markup that would not be kept."""
        if self._handling is Handling.ALLOW or part.origin not in self._origins:
            return NOTHING
        first = _MARKUP.search(part.text)
        if first is None:
            return NOTHING
        start = first.start()
        end = part.text.rfind(">") + 1
        if end <= start:
            end = len(part.text)
        if _never_ends(part.text, start, end):
            end = len(part.text)
        markup = part.text[start:end]
        cleaned = cleaned_markup(markup)
        if cleaned == markup:
            return NOTHING
        finding = Finding("html_content", start, end, "active" if _ACTIVE.search(markup) else "")
        edits = (Edit(start, end, cleaned),) if self._handling is Handling.CLEAN else ()
        return Verdict((finding,), edits)


def _never_ends(text: str, start: int, end: int) -> bool:
    """Return whether what follows the last tag belongs to it: it, or its content, has no end."""
    if _MARKUP.search(text, end):
        return True
    closing = [found[1] for found in _RAW.finditer(text, start, end)]
    return len(closing) > 2 * closing.count("/")


_RAW: Final = re.compile(
    r"<(/?)(?:script|style|iframe|object|noscript|template|svg|math|title|textarea|xmp|plaintext|"
    r"noembed|noframes)\b",
    re.IGNORECASE,
)


def cleaned_markup(markup: str) -> str:
    """Return markup without what is not kept; "" where it is nested beyond reason.

    A document of a hundred thousand open tags takes the parser the square of that.
    """
    if len(_OPENING.findall(markup)) > _DEPTH_MAX and _depth(markup) > _DEPTH_MAX:
        return ""
    return _CLEANER.clean(markup)


def _depth(markup: str) -> int:
    """Return a bound of how deep markup is nested: tags opened and not closed, at their most."""
    depth = most = 0
    for found in _TAG.finditer(markup):
        if found[0].startswith("</"):
            depth = max(0, depth - 1)
        elif found[1].lower() not in _EMPTY:
            depth += 1
            most = max(most, depth)
    return most


_TAG: Final = re.compile(r"</?([A-Za-z][A-Za-z0-9]{0,15})")
_EMPTY: Final = frozenset({"br", "hr", "img", "input", "meta", "link", "wbr", "col", "source"})
