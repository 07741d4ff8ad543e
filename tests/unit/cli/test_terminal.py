from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.cli.terminal import plain_line, plain_text, print_error, size_text, span_text
from corral.core.errors import CorralError


@given(st.text(st.characters(), max_size=200))
def test_nothing_that_a_terminal_obeys_survives(text: str) -> None:
    shown = plain_text(text)
    for character in shown:
        kind = unicodedata.category(character)
        assert character in "\n\t\u200c\u200d" or kind not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert plain_text(shown) == shown
    assert "\n" not in plain_line(text)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x1b]0;title\x07x", "]0;titlex"),
        ("\x9b2Jgone", "2Jgone"),
        ("ok\rERASED", "okERASED"),
        ("a\u202eb\u2066c", "abc"),
        ("\U000e0041tag", "tag"),
        ("👩\u200d🚀 é\tß\n", "👩\u200d🚀 é\tß\n"),
    ],
)
def test_escapes_become_harmless_text(hostile: str, shown: str) -> None:
    assert plain_text(hostile) == shown


def test_sizes_and_spans_are_for_people() -> None:
    assert [size_text(n) for n in (0, 1023, 1024, 98_247_200)] == [
        "0 B", "1023 B", "1.0 KiB", "93.7 MiB",
    ]  # fmt: skip
    assert [span_text(n) for n in (0, 61, 3700, 90_000)] == ["0s", "1m01s", "1h01m", "1d01h"]


def test_error_tells_what_why_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(CorralError("a_code", "it [b]broke\x1b", remedy="mend it"), as_json=False)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "it [b]broke" in printed.err
    assert "a_code" in printed.err
    assert "mend it" in printed.err
    assert "\x1b" not in printed.err


def test_error_as_json_is_the_whole_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(CorralError("a_code", "broke\u202e"), as_json=True)
    assert capsys.readouterr().out == (
        '{"error": {"code": "a_code", "message": "broke\\u202e", "remedy": ""}}\n'
    )
