"""Secrets and personal data in answers: where an answer is cut changes nothing."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corral.guard.hit import LOOK_AHEAD, Hit
from corral.guard.personal_scanner import PERSONAL_KINDS, PersonalScanner
from corral.guard.redaction import Redaction
from corral.guard.secret_scanner import SecretScanner
from tests.support.hostile_answers import CUTS, PIECES, SECRETS, cut

SCANNERS = (
    SecretScanner({"secret", "credential"}),
    PersonalScanner(PERSONAL_KINDS, ("Ada Lovelace", "Æsop", "ACME")),
)


def redact(chunks: list[str]) -> str:
    window = Redaction(SCANNERS, lambda hit: f"[{hit.kind}]")
    return "".join(map(window.feed, chunks)) + window.flush()


@pytest.mark.claim("SEC-03")
@given(PIECES, CUTS)
def test_every_cut_gives_what_the_whole_gives(pieces: list[str], sizes: list[int]) -> None:
    text = "".join(pieces)
    whole = redact([text])
    assert redact(pieces) == whole
    assert redact(list(text)) == whole
    assert redact(cut(text, sizes)) == whole


@pytest.mark.claim("SEC-03")
@pytest.mark.parametrize("secret", SECRETS)
def test_every_place_to_cut_at(secret: str) -> None:
    text = f"It is {secret}, said ada lovelace."
    whole = redact([text])
    assert "[" in whole
    assert "lovelace" not in whole
    for first in range(len(text) + 1):
        assert redact([text[:first], text[first:]]) == whole
        for second in range(first, len(text) + 1, 7):
            assert redact([text[:first], text[first:second], text[second:]]) == whole


@given(PIECES)
def test_what_is_clean_stays_as_it_is(pieces: list[str]) -> None:
    # Right behind a secret nothing begins; behind its mark it does.
    whole = redact([" ".join(pieces)])
    assert redact([whole]) == whole


@given(PIECES)
def test_no_more_is_held_back_than_said(pieces: list[str]) -> None:
    dropped = 0

    def found(hit: Hit) -> str:
        nonlocal dropped
        dropped += 1
        return ""

    window = Redaction(SCANNERS, found)
    for piece in pieces:
        window.feed(piece)
        assert len(window._text) - window._done <= LOOK_AHEAD


@pytest.mark.claim("SEC-03")
def test_a_hit_can_end_the_answer() -> None:
    window = Redaction(SCANNERS, lambda _: None)
    assert window.feed("It is AKIAQYLPMN5HHHFPZAM2 and") == "It is "
    assert window.stopped
    assert window.feed("more") + window.flush() == ""


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    redact(list(text))


test_every_cut_gives_what_the_whole_gives = example(
    ["PRIVATE KEY-----", "\\n", "aB3_" * 40, "\n"], [3]
)(test_every_cut_gives_what_the_whole_gives)
