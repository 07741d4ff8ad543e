"""The tables of scripts and marks agree with Python's own database of characters."""

from __future__ import annotations

import re
import unicodedata

import pytest

from corral.guard.characters import MARKS, SCRIPT_NAMES, outside_of, script_of


@pytest.mark.parametrize(
    ("character", "script"),
    [
        ("a", "Latin"),
        ("\u00e9", "Latin"),
        ("\u0434", "Cyrillic"),
        ("\u03b1", "Greek"),
        ("\u4e2d", "Han"),
        ("\u0645", "Arabic"),
        ("1", ""),
        (" ", ""),
        ("\U0001f600", ""),
        ("\U0010ffff", ""),
        ("\x00", ""),
    ],
)
def test_scripts(character: str, script: str) -> None:
    assert script_of(character) == script


def test_marks_are_those_of_python() -> None:
    mark = re.compile(f"[{MARKS}]")
    for number in range(0x110000):
        if unicodedata.category(chr(number)) in {"Mn", "Mc", "Me"}:
            assert mark.match(chr(number)), hex(number)
        elif unicodedata.category(chr(number)) != "Cn":
            assert not mark.match(chr(number)), hex(number)


def test_letters_outside_of_scripts() -> None:
    outside = re.compile(f"[{outside_of(frozenset({'Latin', 'Greek'}))}]+")
    assert outside.findall("abc \u03b1\u03b2 \u0434\u0430 1, \u4e2d") == ["\u0434\u0430", "\u4e2d"]


def test_an_unknown_script_is_an_error() -> None:
    assert "Latin" in SCRIPT_NAMES
    with pytest.raises(ValueError, match="Klingon"):
        outside_of(frozenset({"Klingon"}))
