"""Letters that look like ASCII ones, and the fold that makes texts alike if they look alike.

Trust: scan jail; constants and pure functions. A selection of Unicode's confusables.txt: the
letters of Cyrillic, Greek, Armenian, Cherokee and Latin Extended that stand for ASCII letters, the
quotation marks and bars that stand for angle brackets and `|`. Compatibility forms (full width,
mathematical) are folded by NFKC first.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_LOOKALIKES: Final = (
    "a\u0430\u03b1\u0251\u04d5 b\u042c\u0184\u13cf\u1472 c\u0441\u03f2\u1d04\u217d\u0421 "
    "d\u0501\u13e7\u146f e\u0435\u04bd\u212e\u0415\u0395 f\u0192\u03dd\ua799 "
    "g\u0261\u0581\u050c h\u04bb\u0570\u13c2\u041d\u0397 "
    "i\u0456\u03b9\u0131\u0269\u13a5\u0406\u0399 j\u0458\u03f3\u0408\u037f "
    "k\u043a\u03ba\u041a\u039a l\u04cf\u0627\u0399\u01c0\u05c0\u2113 "
    "m\u043c\u041c\u039c\u217f n\u0578\u057c\u03b7\u039d "
    "o\u043e\u03bf\u0585\u041e\u039f\u0c66 p\u0440\u03c1\u0420\u03a1 q\u051b\u0563 "
    "r\u0433\u1d26\u13a1 s\u0455\u0405\u01bd\u13d5 t\u0442\u03c4\u0422\u03a4 "
    "u\u057d\u03c5\u028b\u1d1c v\u03bd\u0475\u2174\u05d8 w\u0461\u051d\u026f\u0561\u13b3 "
    "x\u0445\u03c7\u0425\u03a7\u2179 y\u0443\u04af\u03b3\u0423\u03a5 z\u1d22\u0396\u13c3 "
    "<\u2039\u276e\u02c2\u3008\u2329\u27e8\u1438 "
    ">\u203a\u276f\u02c3\u3009\u232a\u27e9\u1433 "
    "|\u01c0\u2223\u23d0\u2758\u2502\u2503\u05c0\uffe8 _\u2017\u02cd\ufe4d "
    "-\u2010\u2011\u2012\u2013\u2014\u2212 /\u2044\u2215\u29f8 [\u3010\u27e6 "
    "]\u3011\u27e7"
)
_TO_ASCII: Final = {ord(alike): group[0] for group in _LOOKALIKES.split(" ") for alike in group[1:]}
_INVISIBLE: Final = re.compile(r"[\s\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
                               r"\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
                               r"\U000e0000-\U000e0fff]")  # fmt: skip
_SCRIPT: Final = re.compile(r"\b(LATIN|CYRILLIC|GREEK|ARMENIAN|CHEROKEE|COPTIC|GEORGIAN)\b")


def skeleton(text: str) -> str:
    """Return what a text looks like: equal for texts that readers take for each other."""
    folded = unicodedata.normalize("NFKC", text).translate(_TO_ASCII)
    bare = "".join(c for c in unicodedata.normalize("NFD", folded) if not unicodedata.combining(c))
    return _INVISIBLE.sub("", bare).casefold().replace("\u2581", "_")


def scripts(word: str) -> frozenset[str]:
    """Return the scripts of the letters, of those scripts whose letters look alike."""
    found = set()
    for letter in word:
        if letter.isascii():
            if letter.isalpha():
                found.add("LATIN")
            continue
        match = _SCRIPT.search(unicodedata.name(letter, ""))
        if match and unicodedata.category(letter).startswith("L"):
            found.add(match[1])
    return frozenset(found)


def has_lookalike(text: str) -> bool:
    """Return whether a letter of the text looks like an ASCII character and is none."""
    return any(ord(c) in _TO_ASCII or 0xFF01 <= ord(c) <= 0xFF5E for c in text)
