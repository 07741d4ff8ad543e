"""Counts whose labels nobody outside can choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.telemetry.tally import OTHER, SECONDS, Codes, Spread, Tally


@pytest.mark.claim("OBS-02")
@given(st.lists(st.tuples(st.text(max_size=9), st.integers(0, 9)), max_size=50))
def test_a_value_that_nobody_foresaw_is_other(counted: list[tuple[str, int]]) -> None:
    tally = Tally(kind=("a", "b"))
    for value, by in counted:
        tally.add(value, by=by)
    found = dict(tally.items())
    assert set(found) <= {("a",), ("b",), (OTHER,)}
    assert sum(found.values()) == sum(by for _, by in counted)


@pytest.mark.claim("OBS-02")
def test_codes_have_the_form_of_codes_and_are_so_many() -> None:
    tally = Tally(route=("r",), code=Codes())
    for bad in ("a b", "Prompt text", "ä", "", "a" * 49, "x\n"):
        tally.add("r", bad)
    assert dict(tally.items()) == {("r", OTHER): 6}
    for number in range(1000):
        tally.add("r", f"code_{number}")
    assert dict(tally.items())["r", OTHER] == 6 + 1000 - 128
    assert len(dict(tally.items())) == 129
    tally.add("r", "code_1")
    assert dict(tally.items())["r", "code_1"] == 2


@given(st.lists(st.floats(0, 2000, allow_nan=False), max_size=50))
def test_a_spread_counts_each_once(values: list[float]) -> None:
    spread = Spread()
    for value in values:
        spread.add(value)
    buckets = spread.buckets()
    assert [bound for bound, _ in buckets] == [*map(str, SECONDS), "+Inf"]
    for bound, count in buckets:
        assert count == sum(value <= float(bound.replace("+Inf", "inf")) for value in values)
    assert spread.sum_s == pytest.approx(sum(values))
