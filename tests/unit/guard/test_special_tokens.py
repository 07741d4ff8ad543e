"""Control tokens: refused in, replaced out, whatever the chunk borders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.guard.finding import Finding, Part
from corral.guard.output import OutputFilter
from corral.guard.special_tokens import (
    REPLACEMENT,
    ControlTokens,
    SpecialTokenStage,
    control_tokens,
)

TOKENS = ControlTokens(("<|im_start|>", "<|im_end|>", "</s>", "]x", "^a", "-b", "x"))
PIECES = st.lists(
    st.sampled_from(["<|im_", "start|>", "end|>", "<", "/s", ">", "a", "]", "x", "^", "-", "b"])
)


def found(text: str, tokens: ControlTokens = TOKENS) -> tuple[Finding, ...]:
    return SpecialTokenStage(tokens).look(Part("prompt", text, "user")).findings


@pytest.mark.claim("TXT-01")
def test_input_with_a_control_token_is_refused() -> None:
    assert found("hello </s> there") == (Finding("special_token", 6, 10),)
    assert found("a < b and <|im and x") == ()
    assert found("</s>", ControlTokens(())) == ()


@pytest.mark.claim("TXT-01")
def test_a_token_over_the_bound_is_caught_by_its_beginning() -> None:
    tokens = ControlTokens(("<" + "y" * 1000,))
    assert found("<" + "y" * 300, tokens) == (Finding("special_token", 0, 256),)


@pytest.mark.claim("TXT-02")
def test_a_replacement_is_never_a_part_of_a_control_token() -> None:
    tokens = ControlTokens(("</s>", "\ufffdab", "\xa1cd"))
    assert tokens.replacement == "\xa2"
    sent = tokens.replace("</s>ab</s>cd")
    assert sent == "\xa2ab\xa2cd"
    assert tokens.spans(sent) == []
    assert ControlTokens(("</s>",)).replacement == REPLACEMENT


def test_spans_are_what_is_replaced() -> None:
    assert TOKENS.spans("a</s>b]x") == [(1, 5), (6, 8)]
    assert ControlTokens(()).spans("</s>") == []


def test_lists_are_kept() -> None:
    assert control_tokens(("<a>",)) is control_tokens(("<a>",))


@pytest.mark.claim("TXT-02")
@given(PIECES)
def test_no_control_token_ever_comes_out(pieces: list[str]) -> None:
    output = OutputFilter(TOKENS)
    sent = "".join(output.feed(piece) for piece in pieces) + output.flush()
    assert TOKENS.spans(sent) == []


@given(PIECES)
def test_text_without_control_tokens_comes_out_as_it_is(pieces: list[str]) -> None:
    text = "".join(pieces)
    output = OutputFilter(TOKENS)
    sent = "".join(output.feed(piece) for piece in pieces) + output.flush()
    assert sent == TOKENS.replace(text)
    if TOKENS.spans(text) == []:
        assert sent == text
    else:
        assert REPLACEMENT in sent


@given(PIECES)
def test_no_more_is_held_back_than_a_token_is_long(pieces: list[str]) -> None:
    output = OutputFilter(TOKENS)
    given_characters = sent_characters = 0
    for piece in pieces:
        given_characters += len(piece)
        sent_characters += len(output.feed(piece))
        # A replacement is shorter than what it replaces: count only while none was made.
        if REPLACEMENT not in piece and TOKENS.spans("".join(pieces)) == []:
            assert given_characters - sent_characters < TOKENS.longest
