"""Places of a rewritten text, turned back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.guard.alignment import Alignment, apply
from corral.guard.finding import Edit


@st.composite
def rewritten(draw: st.DrawFn) -> tuple[str, list[Edit]]:
    text = draw(st.text(max_size=40))
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pairs = zip(places[::2], places[1::2], strict=False)
    return text, [Edit(start, end, draw(st.text(max_size=4))) for start, end in pairs]


@given(rewritten())
def test_what_was_not_touched_is_found_where_it_was(case: tuple[str, list[Edit]]) -> None:
    text, edits = case
    after, alignment = apply(text, edits), Alignment(edits)
    # Each character that no edit made, by building the same text with its places beside it.
    kept: list[int | None] = []
    reached = 0
    for edit in edits:
        kept += range(reached, edit.start)
        kept += [None] * len(edit.text)
        reached = edit.end
    kept += range(reached, len(text))
    assert len(kept) == len(after)
    for place, was in enumerate(kept):
        if was is not None:
            assert (alignment.before(place), alignment.before(place + 1, is_end=True)) == (
                was, was + 1
            )  # fmt: skip
        else:
            start, end = alignment.before(place), alignment.before(place + 1, is_end=True)
            assert 0 <= start <= end <= len(text)
            assert any((e.start, e.end) == (start, end) for e in edits)


def test_an_edit_out_of_order_or_out_of_the_text_is_an_error() -> None:
    for edits in ([Edit(2, 3), Edit(1, 2)], [Edit(0, 9)], [Edit(2, 1)]):
        with pytest.raises(ValueError, match="out of"):
            apply("abc", edits)
