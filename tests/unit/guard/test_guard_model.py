"""Which pieces of a text a guard model is asked about, and what its answers mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.guard.guard_model import is_unsafe, pieces
from corral.guard.options import Options


@given(st.text(max_size=4000), st.integers(257, 1500), st.integers(0, 3999))
def test_whatever_is_short_is_whole_in_a_piece(text: str, characters: int, start: int) -> None:
    found = list(pieces(text, characters))
    assert max(map(len, found)) <= characters
    assert any(text[start : start + 256] in piece for piece in found)
    step = characters - 256
    assert "".join(piece[:step] for piece in found[:-1]) + found[-1] == text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("safe", False), ("\n\nSafe.", False), ("unsafe\nS1,S2", True), ("UNSAFE", True),
        ("**unsafe**", True), ("", None), ("I think it is safe", None), ("safely", None),
        ("unsafe1", None), ("not safe", None), ("\x00", None),
    ],
)  # fmt: skip
def test_the_first_word_of_an_answer_counts(answer: str, said: bool | None) -> None:
    assert is_unsafe(answer, Options()) is said


def test_a_guard_may_have_other_words() -> None:
    options = Options(guard_safe="nein", guard_unsafe="ja")
    assert [is_unsafe(one, options) for one in ("Ja!", "Nein", "safe")] == [True, False, None]
    with pytest.raises(ValueError, match="same word"):
        Options(guard_safe="Yes", guard_unsafe="yes")
