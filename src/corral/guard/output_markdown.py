"""Images, links and markup of an answer that is shown as Markdown.

Trust: gateway [net]. Input: a hostile answer, piece by piece; held back is at most `HELD_MAX`
characters from a sign on, until it is decided what it is.

An image is fetched without a click, and its address carries data away; so images of hosts that are
not on the policy's list become text (`](` turns into `] (`), written in line or by reference, and
markup that fetches, runs or takes input is shown instead of done (`<` turns into `&lt;`). Links may
lead anywhere but to a script. Code stays as it is (`guard.code_tracker`).
"""

from __future__ import annotations

import re
from typing import Final, Literal

from corral.guard.code_tracker import CodeTracker
from corral.guard.destination import Where, destination
from corral.guard.finding import Handling
from corral.guard.output_judge import OutputJudge
from corral.guard.url_scanner import HostList

HELD_MAX: Final = 120
_SPAN_CHARACTERS: Final = 80
_SIGN: Final = re.compile(r"[\n<\]]|`+|!(?:\[|\Z)")
_TARGET: Final = re.compile(r"\]([(:])[ \t\n]{0,16}(?:<|&lt;)?")
_TAG: Final = re.compile(r"/?([A-Za-z][A-Za-z0-9-]{0,31})")
_TAG_END: Final = re.compile(r"[ \t]{0,2}/?>")
_TAG_ENDING: Final = re.compile(r"[ \t]{0,2}/?\Z")
_SCRIPTS: Final = frozenset({"javascript", "vbscript", "data", "file"})
_ACTIVE: Final = frozenset({
    "applet", "area", "audio", "base", "bgsound", "body", "button", "canvas", "dialog", "embed",
    "form", "frame", "frameset", "head", "html", "iframe", "image", "img", "input", "isindex",
    "keygen", "layer", "link", "listing", "map", "marquee", "math", "meta", "noembed",
    "noframes", "noscript", "object", "option", "param", "picture", "plaintext", "portal",
    "pre", "script", "select", "source", "style", "svg", "template", "textarea", "title",
    "track", "video", "xmp",
})  # fmt: skip
Decision = Literal["pass", "change", "wait", "stop"]


class MarkdownGuard:
    """One answer.

    Args:
        judge: of the answer.
        hosts: whose images are shown.
        markup: markup is dealt with, too.
    """

    def __init__(self, judge: OutputJudge, hosts: HostList, *, markup: bool) -> None:
        self._judge = judge
        self._hosts = hosts
        self._markup = markup
        self._code = CodeTracker()
        self._held = ""
        self._image = False  # an image may have begun in this paragraph
        self._images = False  # one has begun in this answer
        self._defined = False  # an address elsewhere has a name that images may use

    def feed(self, text: str) -> str:
        """Return what may go on now."""
        return self._advance(self._held + text, last=False)

    def flush(self) -> str:
        """Return what was held back when the answer ended."""
        return self._advance(self._held, last=True)

    def _advance(self, text: str, *, last: bool) -> str:
        out: list[str] = []
        at = 0
        self._held = ""
        while sign := _SIGN.search(text, at):
            start, end = sign.span()
            out.append(text[at:start])
            self._code.text(text[at:start])
            at = end
            decision, instead = self._decide(text, start, end, last=last)
            if decision == "wait":
                self._held = text[start:]
                return "".join(out)
            if decision == "stop":
                return "".join(out)
            out.append(instead)
            if sign[0] == "\n":
                if self._code.end_line():
                    self._image = False
            else:
                self._code.text(sign[0])
        out.append(text[at:])
        self._code.text(text[at:])
        return "".join(out)

    def _decide(self, text: str, start: int, end: int, *, last: bool) -> tuple[Decision, str]:
        """Return what becomes of a sign, and what stands in its place."""
        sign = text[start:end]
        last = last or len(text) - start >= HELD_MAX
        ahead = text[end : start + HELD_MAX]
        if sign == "\n":
            return "pass", sign
        if sign[0] == "`":
            if not ahead and not last:
                return "wait", ""
            if not self._code.in_fence:
                self._code.run(len(sign))
            return "pass", sign
        if sign == "!":
            return ("pass", sign) if last else ("wait", "")
        if self._code.in_fence:
            return "pass", sign
        if self._code.may_be_span:
            decision = _in_span(ahead, self._code.span, last=last)
            if decision != "change":
                return decision, sign
        if sign == "![":
            return self._image_begins(sign)
        if sign == "<":
            return self._tag(ahead, last=last) if self._markup else ("pass", sign)
        return self._target(text[start : start + HELD_MAX], last=last)

    def _image_begins(self, sign: str) -> tuple[Decision, str]:
        if self._defined:
            return self._done("remote_image", sign, "! [")
        self._image = self._images = True
        return "pass", sign

    def _target(self, ahead: str, *, last: bool) -> tuple[Decision, str]:
        """Decide about a `]`: does an address follow, and whose?"""
        if len(ahead) == 1 and not last:
            return "wait", ""
        found = _TARGET.match(ahead)
        if found is None:
            return "pass", "]"
        address = ahead[found.end() :]
        if not last and address and "&lt;".startswith(address):
            return "wait", ""
        where: Where = destination(address, self._hosts, complete=last)
        if where == "undecided":
            return "wait", ""
        changed = "] "
        if where == "active":
            return self._done("active_link", "]", changed)
        if where == "elsewhere":
            if self._image or (found[1] == ":" and self._images):
                return self._done("remote_image", "]", changed)
            if found[1] == ":":
                self._defined = True
        return "pass", "]"

    def _tag(self, ahead: str, *, last: bool) -> tuple[Decision, str]:
        """Decide about a `<`: does markup follow that fetches, runs or takes input?"""
        if not ahead:
            return ("pass", "<") if last else ("wait", "")
        if ahead[0] in "!?":
            return self._done("active_markup", "<", "&lt;")
        if ahead == "/" and not last:
            return "wait", ""
        tag = _TAG.match(ahead)
        if tag is None:
            return "pass", "<"
        self._code.loosen()
        rest = ahead[tag.end() :]
        name = tag[1].lower()
        if not rest:
            return ("pass", "<") if last else ("wait", "")
        if rest[0] == ":":
            if name in _SCRIPTS:
                return self._done("active_link", "<", "&lt;")
            return "pass", "<"
        if rest[0] not in ">/ \t\n\r\f" and not (rest[0].isalnum() or rest[0] == "-"):
            return "pass", "<"
        if not last and _TAG_ENDING.match(rest):
            return "wait", ""
        if name in _ACTIVE or not _TAG_END.match(rest):
            return self._done("active_markup", "<", "&lt;")
        return "pass", "<"

    def _done(self, kind: str, sign: str, changed: str) -> tuple[Decision, str]:
        handling = self._judge.found(kind) if self._judge.wants(kind) else Handling.ALLOW
        if handling is Handling.REFUSE:
            return "stop", ""
        return ("change", changed) if handling is Handling.CLEAN else ("pass", sign)


def _in_span(ahead: str, length: int, *, last: bool) -> Decision:
    """Return `pass` if a span of code ends in this line, `change` if it does not, or `wait`."""
    line = ahead[: _SPAN_CHARACTERS + 1]
    known = last or "\n" in line or len(line) > _SPAN_CHARACTERS
    line = line.partition("\n")[0]
    for run in re.finditer("`+", line):
        closed = last if run.end() == len(ahead) else run.end() <= _SPAN_CHARACTERS
        if len(run[0]) == length and closed:
            return "pass"
    return "change" if known else "wait"
