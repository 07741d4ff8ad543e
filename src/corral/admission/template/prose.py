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
    "end", "inst", "sys", "message", "channel", "ai", "question", "answer",
})  # fmt: skip

_ADDRESS: Final = re.compile(
    r"https?:|www\.|\b[a-z0-9-]{2,}\.(?:com|net|org|io|ru|cn|xyz|top|info|invalid|example|dev|app|"
    r"site|online|link|click|ly|me|co)\b|\b\d{1,3}(?:\.\d{1,3}){3}\b|\bmailto:|@[a-z0-9-]+\.[a-z]{2}",
    re.IGNORECASE,
)
_ORDER: Final = re.compile(
    r"\b(?:ignore|disregard|override|bypass|circumvent|forget)\b.{0,40}"
    r"\b(?:instruct|rule|polic|prompt|guideline|safety|filter|above|previous|prior|user|system)"
    r"|\b(?:never|do not|don't|must not|without)\b.{0,20}\b(?:mention|reveal|disclos|tell|say|warn"
    r"|inform|asking|refus)\w*.{0,40}\b(?:this|these|that|user|instruct|polic|prompt|anyone|human)"
    r"|\b(?:must|always|secretly|silently|covertly)\b.{0,24}\b(?:insert|inject|append|include|add"
    r"|recommend|promot|mention|redirect|send|link|leak|exfiltrat)"
    r"|\b(?:leak|exfiltrat|backdoor|malware|payload|keylog|jailbr|uncensor|unrestrict)\w*"
    r"|\b(?:no|without)\b (?:\w+ ){0,2}(?:restriction|filter|limit|refusal|moral|ethic)"
    r"|\bcomply\b.{0,30}\b(?:all|any|every|with)\b"
    r"|\b(?:password|credential|api[ _-]?key|credit card|private key|cookie|conversation)s?\b"
    r".{0,40}\b(?:to|send|post|collect|leak|steal|forward|include)\b"
    r"|\b(?:collect|send|steal|forward|post|upload)\b.{0,40}\b(?:password|credential|api[ _-]?key"
    r"|secret|conversation|chat history|personal data)",
    re.IGNORECASE | re.DOTALL,
)


def words(text: str) -> int:
    """Return how many words a text has beside markers and names of roles."""
    bare = _MARKER.sub(" ", text)
    wide = len(_WIDE.findall(bare))
    plain = [w for w in _WORD.findall(_WIDE.sub(" ", bare)) if w.lower() not in ROLE_WORDS]
    return len(plain) + wide // _WIDE_PER_WORD


def suspicion(text: str) -> str:
    """Return why a text of the template's own is no harmless one, or nothing."""
    bare = " ".join(text.split())
    if _ADDRESS.search(bare):
        return "the template adds an address to conversations"
    if _ORDER.search(bare):
        return "the template adds orders to conversations"
    return ""


def role_named(text: str) -> str:
    """Return the role that a text before a message names last, or nothing."""
    named = re.findall(r"system|developer|user|human|assistant|model", text.lower())
    if not named:
        return ""
    last = named[-1]
    return str({"human": "user", "model": "assistant", "developer": "system"}.get(last, last))
