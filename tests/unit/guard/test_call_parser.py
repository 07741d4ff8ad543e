"""Calls out of answers: whole ones only, and the same wherever an answer is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.guard.call_parser import (
    CALL_CHARACTERS_MAX,
    CallParser,
    ForcedCalls,
    FramedCalls,
    Malformed,
    Piece,
    Wanted,
)

BROKEN = Malformed
CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'


def told(parser: CallParser, *pieces: str) -> list[object]:
    """Return what comes out, texts that follow one another put together."""
    found: list[Piece] = [one for piece in pieces for one in parser.feed(piece)] + parser.flush()
    out: list[object] = []
    for one in found:
        if isinstance(one, str) and out and isinstance(out[-1], str):
            out[-1] += one
        else:
            out.append(BROKEN if isinstance(one, Malformed) else one)
    return out


def framed(*pieces: str) -> list[object]:
    return told(FramedCalls(), *pieces)


F1 = Wanted("f", {"a": 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words", ["plain words"]),
        (" \n", [" \n"]),
        (CALL, [F1]),
        (f"I call.\n\n{CALL}\n{CALL}\n", ["I call.", F1, F1]),
        (f"{CALL} and more", [F1, " and more"]),
        (f"a <tool{CALL}", ["a <tool", F1]),
        (CALL.removesuffix("</tool_call>"), [F1]),
        ('<tool_call>{"name": "f"}</tool_call>', [Wanted("f", {})]),
        (
            '<tool_call>{"name":"f","arguments":{"t":"</tool_call>\\"<tool_call>"}}</tool_call>',
            [Wanted("f", {"t": '</tool_call>"<tool_call>'})],
        ),
        ("<tool_call></tool_call>x", [BROKEN, "x"]),
        ('<tool_call>{"name": "f", "argum', [BROKEN]),
        ('<tool_call>{"name": "f\n</tool_call> y', [BROKEN, " y"]),
        ('<tool_call>{"name": "f\\\n"}</tool_call> y', [BROKEN, " y"]),
        (f"<tool_call>{CALL}", [BROKEN]),
        ('<tool_call>{"name": "f"} {}</tool_call>', [BROKEN]),
        ('<tool_call>{"name": "f", "id": 1}</tool_call>', [BROKEN]),
        ('<tool_call>{"name": "f", "name": "g"}</tool_call>', [BROKEN]),
        ('<tool_call>{"name": 1}</tool_call>', [BROKEN]),
        ('<tool_call>{"name": "f", "arguments": "{}"}</tool_call>', [BROKEN]),
        ('<tool_call>{"name": "f", "arguments": {"a": 1e999}}</tool_call>', [BROKEN]),
        ('<tool_call>{"name": "f", "arguments": {"a": "\\ud800"}}</tool_call>', [BROKEN]),
        ('<tool_call>{"a":' * 2 + "[" * 5000 + "</tool_call>z", [BROKEN, "z"]),
        ("< tool_call>{}", ["< tool_call>{}"]),
        ("</tool_call>", ["</tool_call>"]),
        ("x <tool_cal", ["x <tool_cal"]),
        (f"{CALL}\n<tool_c", [F1, "\n<tool_c"]),
    ],
)
def test_what_is_a_call(text: str, expected: list[object]) -> None:
    assert framed(text) == expected
    assert framed(*text) == expected


@pytest.mark.claim("TOOL-01")
def test_nothing_of_a_call_comes_out_before_it_is_whole() -> None:
    parser = FramedCalls()
    for sign in CALL[:-1]:
        assert parser.feed(sign) == []
    assert parser.feed(CALL[-1]) == [F1], "the control: with its last sign it comes"


_PIECES = st.sampled_from((
    "<tool_call>", "</tool_call>", "<tool_", "call>", "</tool", '{"name": "f"', "}", '"', "\\",
    "\n",
    ', "arguments": {"a": "b"}', " ", "x", CALL, "<", ">", '"</tool_call>"', "\t" * 20, "\r",
))  # fmt: skip


@pytest.mark.claim("TOOL-01")
@settings(max_examples=400)
@given(st.lists(_PIECES, max_size=14).map("".join), st.data())
def test_cuts_change_nothing(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert framed(*pieces) == framed(text) == framed(*text)
    for several in (False, True):
        forced = told(ForcedCalls(several=several), *pieces)
        assert forced == told(ForcedCalls(several=several), text)


@pytest.mark.parametrize("over", [-1, 0, 1, 40])
@pytest.mark.parametrize("step", [1, 7, 1000, 10**9])
def test_a_call_is_bounded_at_the_same_place_for_every_cut(over: int, step: int) -> None:
    before, behind = '{"name":"f","arguments":{"a":"', '"}}'
    filler = CALL_CHARACTERS_MAX - len(before) - len(behind) + over
    text = f"<tool_call>{before}{'y' * filler}{behind}</tool_call>z"
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    expected = Wanted("f", {"a": "y" * filler}) if over <= 0 else BROKEN
    assert framed(*pieces) == [expected, "z"]


def test_what_is_kept_of_a_broken_call_is_bounded() -> None:
    parser = FramedCalls()
    parser.feed("<tool_call>")
    for _ in range(100):
        parser.feed("y" * 10_000)
    assert len(parser._held) + sum(map(len, parser._body or ())) < 100


def test_an_answer_that_must_be_calls() -> None:
    one, many = ForcedCalls(several=False), ForcedCalls(several=True)
    assert one.feed('{"name":"f","arguments":{"a":1}}') == []
    assert one.flush() == [F1]
    assert told(many, json.dumps([{"name": "f", "arguments": {"a": 1}}, {"name": 3}])) == [
        F1, BROKEN,
    ]  # fmt: skip
    for text in ("", "[", "words", "[]x", "{}", "7"):
        assert told(ForcedCalls(several=True), text) == [BROKEN]
        assert told(ForcedCalls(several=False), text) == [BROKEN]
    assert told(ForcedCalls(several=True), "[]") == []
    assert told(ForcedCalls(several=True), " " * CALL_CHARACTERS_MAX, "[]") == [BROKEN]
