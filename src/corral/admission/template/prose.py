"""Text of the template's own that a model would take for instructions.

Trust: scan jail; pure functions. Input: renderings of untrusted templates. Real templates say a
date, a default prompt where there is none, or how to think; none sends users to an address or
tells the model to hide something.
"""

from __future__ import annotations

import re
from typing import Final

_MARKER: Final = re.compile(r"<[^<>\n]{1,80}>|\[/?[A-Z_]{2,40}\]|\uff5c")
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_WIDE: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_WIDE_PER_WORD: Final = 2
ROLE_WORDS: Final = frozenset({
    "system", "user", "assistant", "developer", "human", "model", "tool", "bot", "gpt", "chatbot",
    "instruction", "response", "input", "output", "final", "analysis", "think", "im", "start",
    "end", "inst", "thought", "sys", "message", "channel", "ai", "question", "answer",
})  # fmt: skip

_CLOSING: Final = re.compile(r"</[^<>]{1,80}>|\[/[^\[\]]{1,80}\]")
_ROLE: Final = re.compile(r"system|developer|user|human|assistant|model|\[inst\]", re.IGNORECASE)
_ROLE_NAMES: Final = {
    "human": "user", "model": "assistant", "developer": "system", "[inst]": "user",
}  # fmt: skip
_ROLE_LINE: Final = 2

_ADDRESS: Final = re.compile(
    r"https?:|www\.|\b[a-z0-9-]{2,}\.(?:com|net|org|io|ru|cn|xyz|top|info|invalid|example|dev|app|"
    r"site|online|link|click|ly|me|co)\b|\b\d{1,3}(?:\.\d{1,3}){3}\b|\bmailto:|\w@[a-z0-9-]+\.[a-z]{2}",
    re.IGNORECASE,
)
_ORDER: Final = re.compile(
    r"\b(?:never|do not|don't|must not)\b.{0,20}\b(?:mention|reveal|disclose|tell|warn)\b"
    r".{0,40}\b(?:this|these|that|user|instruction|prompt|anyone|human)"
    r"|\bwithout (?:telling|warning|informing|asking)\b"
    r"|\b(?:must|always)\b.{0,24}\b(?:insert|inject|append|recommend|promote|redirect)\b"
    r"|\balways\b.{0,24}\b(?:include|add|mention|link)\b"
    r"|\bcomply with (?:all|any|every)\b",
    re.IGNORECASE | re.DOTALL,
)
_ATTACK: Final = re.compile(
    r"\b(?:ignore|disregard|override|bypass|circumvent|forget)\b.{0,40}"
    r"\b(?:instruction|rule|polic|prompt|guideline|safety|filter|above|previous|prior)"
    r"|\b(?:leak|exfiltrat|backdoor|malware|keylog|jailbr|uncensor|unrestrict|secretly|covertly)"
    r"|\b(?:no|without) (?:\w+ ){0,2}(?:restriction|filter|refusal|moral|ethic)"
    r"|\b(?:collect|send|steal|forward|post|upload)\b.{0,40}\b(?:password|credential|api[ _-]?key"
    r"|secret|conversation|chat history|personal data)",
    re.IGNORECASE | re.DOTALL,
)
"""What no instructions for tools say either."""


def words(text: str) -> int:
    """Return how many words a text has beside markers and names of roles."""
    bare = _MARKER.sub(" ", text)
    wide = len(_WIDE.findall(bare))
    plain = [w for w in _WORD.findall(_WIDE.sub(" ", bare)) if w.lower() not in ROLE_WORDS]
    return len(plain) + wide // _WIDE_PER_WORD


def suspicion(text: str, *, of_tools: bool = False) -> str:
    """Return why a text of the template's own is no harmless one, or nothing.

    Args:
        text: what the template adds.
        of_tools: whether it tells how to call tools, which is full of orders.
    """
    bare = " ".join(text.split())
    if _ADDRESS.search(bare):
        return "the template adds an address to conversations"
    if _ATTACK.search(bare) or (not of_tools and _ORDER.search(bare)):
        return "the template adds orders to conversations"
    return ""


def role_named(text: str) -> str:
    """Return the role that a text before a message names last, or nothing.

    Named is a role by a marker (`<|user|>`, `[INST]`) or by a line of hardly more than its name.
    """
    for line in reversed(_CLOSING.sub(" ", text).split("\n")):
        marked = [(match.start(), match.end()) for match in _MARKER.finditer(line)]
        short = len(_WORD.findall(_MARKER.sub(" ", line))) <= _ROLE_LINE
        named = [
            match[0].lower()
            for match in _ROLE.finditer(line)
            if short or any(start <= match.start() < end for start, end in marked)
        ]
        if named:
            return _ROLE_NAMES.get(named[-1], named[-1])
    return ""
