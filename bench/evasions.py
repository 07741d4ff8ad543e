"""Ways to write an attack so that nobody who looks for its words finds them.

The first thirteen are those of research/guards.md, section 4, against which the scan views were
written; the others are of the same kind and were not measured there.
"""

from __future__ import annotations

import base64
import codecs
import string
from collections.abc import Callable
from typing import Final

Evasion = Callable[[str], str]
_SMALL: Final = (
    "\u1d00\u0299\u1d04\u1d05\u1d07\ua730\u0262\u029c\u026a\u1d0a\u1d0b\u029f\u1d0d"
    "\u0274\u1d0f\u1d18\ua7af\u0280\ua731\u1d1b\u1d1c\u1d20\u1d21x\u028f\u1d22"
)
_CODES: Final = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- "
    "-..- -.-- --.."
)
_MORSE: Final = _CODES.split()


def _letters(table: str) -> Evasion:
    return lambda text: text.lower().translate(str.maketrans(string.ascii_lowercase, table))


def _tags(text: str) -> str:
    return "hi " + "".join(chr(0xE0000 + ord(c)) for c in text if c.isascii())


def _selectors(text: str) -> str:
    data = text.encode()
    return "\U0001f600" + "".join(
        chr(0xFE00 + byte) if byte < 16 else chr(0xE0100 + byte - 16) for byte in data
    )


def _wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _bold(text: str) -> str:
    return "".join(
        chr(0x1D400 + ord(c.upper()) - 65) if c.isascii() and c.isalpha() else c for c in text
    )


def _squared(text: str) -> str:
    return "".join(
        chr(0x1F170 + ord(c.upper()) - 65) if c.isascii() and c.isalpha() else c for c in text
    )


def _morse(text: str) -> str:
    table = dict(zip(string.ascii_lowercase, _MORSE, strict=True))
    return " / ".join(
        " ".join(table[c] for c in word if c in table) for word in text.lower().split()
    )


KNOWN: Final[dict[str, Evasion]] = {
    "none": str,
    "tags": _tags,
    "variation selectors": _selectors,
    "zero width": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "Cyrillic letters": lambda t: t.translate(
        str.maketrans("aeopcxyi", "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0456")
    ),
    "full width": _wide,
    "mathematical bold": _bold,
    "zalgo": lambda t: "".join(f"{c}\u0301\u0320\u0335" for c in t),
    "spaced": " ".join,
    "leet": lambda t: t.lower().translate(str.maketrans("aeiost", "431057")),
    "base64": lambda t: base64.b64encode(t.encode()).decode(),
    "rot13": lambda t: codecs.encode(t, "rot13"),
    "backwards": lambda t: t[::-1],
}
FURTHER: Final[dict[str, Evasion]] = {
    "small capitals": _letters(_SMALL),
    "squared": _squared,
    "dotted words": lambda t: " ".join(".".join(word) for word in t.split()),
    "words backwards": lambda t: " ".join(word[::-1] for word in t.split()),
    "Caesar 3": _letters(string.ascii_lowercase[3:] + string.ascii_lowercase[:3]),
    "atbash": _letters(string.ascii_lowercase[::-1]),
    "hex": lambda t: t.encode().hex(),
    "percent": lambda t: "".join(f"%{byte:02x}" for byte in t.encode()),
    "entities": lambda t: "".join(f"&#{byte};" for byte in t.encode("ascii", "ignore")),
    "base32": lambda t: base64.b32encode(t.encode()).decode(),
    "base64 twice": lambda t: base64.b64encode(base64.b64encode(t.encode())).decode(),
    "bits": lambda t: " ".join(f"{byte:08b}" for byte in t.encode()),
    "Morse": _morse,
}
