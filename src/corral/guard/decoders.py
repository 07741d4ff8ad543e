"""Encodings inside a text, undone where they stand: base64, hex, percent, entities, Morse and more.

Trust: gateway [net] and command line; pure, detection only. Input: untrusted text, bounded by the
caller. Each decoder is one pass; what it makes is never longer than what it reads, and decoded
bytes count only if they are printable text.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

import re2

_ODD_MAX: Final = 0.1
"""Share of a decoded text that may be neither letters, digits, spaces nor ordinary punctuation."""
_LEAST: Final = 6
"""Characters that a decoded text has at least."""

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{12,}(?:\s?[A-Za-z0-9+/_-]{12,})*={0,2}")
_BASE32: Final = re.compile(r"\b[A-Z2-7]{16,}={0,6}")
_HEX: Final = re2.compile(r"(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[\s:,;-]{0,2}){8,}")
_BITS: Final = re.compile(r"(?:[01]{8}[\s,]{0,2}){6,}|(?:[01]{7}[\s,]{1,2}){6,}")
_CODES: Final = re.compile(r"(?:\b[0-9]{2,3}\b[\s,;]{1,2}){7,}[0-9]{2,3}\b")
_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});")
_PERCENT: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ESCAPE: Final = re.compile(r"\\u\{?([0-9A-Fa-f]{4,6})\}?|\\x([0-9A-Fa-f]{2})|\\U([0-9A-Fa-f]{8})")
_QUOTED: Final = re.compile(r"(?:=[0-9A-F]{2}){2,}")
_BASE85: Final = re.compile(r"<~([!-u\s]{8,})~>")
_MORSE: Final = re.compile(r"(?:[.\u00b7\u2022-]{1,6}[\s/|]{1,5}){6,}[.\u00b7\u2022-]{1,6}")
_MORSE_CODES: Final = (
    "A.- B-... C-.-. D-.. E. F..-. G--. H.... I.. J.--- K-.- L.-.. M-- N-. O--- P.--. Q--.- R.-. "
    "S... T- U..- V...- W.-- X-..- Y-.-- Z--.. 0----- 1.---- 2..--- 3...-- 4....- 5..... 6-.... "
    "7--... 8---.. 9----."
)
_MORSE_LETTERS: Final = {code[1:]: code[0].lower() for code in _MORSE_CODES.split()}
_BRAILLE: Final = re.compile("[\u2800-\u283f]{4,}(?:\\s+[\u2800-\u283f]+)*")
_BRAILLE_LETTERS: Final = dict(zip(
    bytes.fromhex("000103091911 0b1b130a1a05070d1d150f1f170e1e2527 3a2d3d35"),
    " abcdefghijklmnopqrstuvwxyz", strict=True,
))  # fmt: skip


def printable(data: bytes) -> str | None:
    """Return bytes as text if they are one that somebody wrote, else None."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if len(text) < _LEAST:
        return None
    odd = sum(not (c.isalnum() or c.isspace() or c in _ORDINARY) for c in text)
    letters = sum(c.isalpha() or c.isspace() for c in text)
    return text if odd <= len(text) * _ODD_MAX and letters * 2 >= len(text) else None


_ORDINARY: Final = frozenset(".,;:!?'\"()[]{}<>|/\\@#$%&*+=-_`~^")


def _from_base64(found: re.Match[str]) -> str:
    pieces = found[0].split()
    whole = _of_base64("".join(pieces))
    if whole is not None:
        return f" {whole} "
    # A long word of the sentence may stand before what is encoded.
    parts = [_of_base64(piece) for piece in pieces]
    if not any(parts):
        return found[0]
    return " ".join(
        piece if part is None else part for piece, part in zip(pieces, parts, strict=True)
    )


def _of_base64(packed: str) -> str | None:
    packed = packed.rstrip("=").translate({45: 43, 95: 47})
    packed = packed[: len(packed) - (len(packed) % 4 == 1)]
    return printable(_bytes(base64.b64decode, packed + "=" * (-len(packed) % 4)))


def _from_base32(found: re.Match[str]) -> str:
    packed = found[0].rstrip("=")
    return _or_same(found, _bytes(base64.b32decode, packed + "=" * (-len(packed) % 8)))


def _from_base85(found: re.Match[str]) -> str:
    return _or_same(found, _bytes(base64.a85decode, found[1]))


def _from_hex(found: re.Match[str]) -> str:
    digits = re.sub(r"0x|\\x|[^0-9A-Fa-f]", "", found[0])
    return _or_same(found, _bytes(bytes.fromhex, digits))


def _from_bits(found: re.Match[str]) -> str:
    bits = re.sub(r"[^01]", "", found[0])
    width = 8 if re.match("[01]{8}", found[0]) else 7
    numbers = (int(bits[at : at + width], 2) for at in range(0, len(bits) - width + 1, width))
    return _or_same(found, bytes(numbers))


def _from_codes(found: re.Match[str]) -> str:
    numbers = [int(number) for number in re.findall("[0-9]+", found[0])]
    return found[0] if max(numbers) > 127 else _or_same(found, bytes(numbers))


def _from_morse(found: re.Match[str]) -> str:
    dotted = found[0].replace("\u00b7", ".").replace("\u2022", ".")
    words = re.split(r"\s*[/|]\s*|\s{3,}", dotted)
    return " ".join("".join(_MORSE_LETTERS.get(c, "") for c in word.split()) for word in words)


def _from_braille(found: re.Match[str]) -> str:
    return "".join(
        _BRAILLE_LETTERS.get(ord(c) - 0x2800, c) if c >= "\u2800" else c for c in found[0]
    )


def _from_quoted(found: re.Match[str]) -> str:
    return _or_same(found, bytes.fromhex(found[0].replace("=", "")))


def _from_escape(found: re.Match[str]) -> str:
    number = int(found[1] or found[2] or found[3], 16)
    usable = number < 0x110000 and not 0xD800 <= number < 0xE000
    return chr(number) if usable else found[0]


def _bytes(decode: Callable[[str], bytes], packed: str) -> bytes:
    try:
        return decode(packed)
    except (ValueError, binascii.Error):
        return b""


def _or_same(found: re.Match[str], data: bytes) -> str:
    text = printable(data)
    return found[0] if text is None else f" {text} "


_STEPS: Final[tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    ("<~", _BASE85, _from_base85),
    (r"\\[uUx]", _ESCAPE, _from_escape),
    ("&[#A-Za-z]", _ENTITY, lambda found: html.unescape(found[0])),
    ("%[0-9A-Fa-f]{2}", _PERCENT, lambda found: unquote(found[0], errors="replace")),
    ("(?:=[0-9A-F]{2}){2}", _QUOTED, _from_quoted),
    (r"(?:[01]{7,8}[\s,]{0,2}){6}", _BITS, _from_bits),
    (r"(?:[0-9]{2,3}[\s,;]{1,2}){7}", _CODES, _from_codes),
    (r"(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[\s:,;-]{0,2}){8}", _HEX, _from_hex),
    ("[A-Z2-7]{16}", _BASE32, _from_base32),
    ("[A-Za-z0-9+/_-]{12}", _BASE64, _from_base64),
    (r"(?:[.\x{b7}\x{2022}-]{1,6}[\s/|]{1,5}){6}", _MORSE, _from_morse),
    (r"[\x{2800}-\x{283f}]{4}", _BRAILLE, _from_braille),
)
"""What a text must have, for RE2; the pattern proper; how what it finds is undone."""


def _gates() -> re2.Set:
    options = re2.Options()
    options.log_errors = False
    gates = re2.Set.SearchSet(options)
    for gate, _, _ in _STEPS:
        gates.Add(gate)
    gates.Compile()
    return gates


_GATES: Final = _gates()
"""All gates in one pass: a text without encodings costs some ten microseconds."""


def decoded(text: str) -> str:
    """Return a text with one layer of every encoding undone; the same if there is none."""
    for number in sorted(_GATES.Match(text) or ()):
        _, pattern, undo = _STEPS[number]
        text = pattern.sub(undo, text)
    return text
