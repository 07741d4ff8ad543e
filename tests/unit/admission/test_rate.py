"""Rates as they are typed."""

import pytest

from corral.admission.rate import parse_rate
from corral.core.errors import CorralError


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("0", 0), ("800000", 800_000), ("500k", 512_000), ("10M", 10 << 20), ("1.5m", 3 << 19),
        ("2G", 2 << 30), ("2GB", 2 << 30), ("7b", 7),
    ],
)  # fmt: skip
def test_a_rate(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "k", "-1", "1e9", "1 M", "1T", "fast", "1" * 30, "1.M"])
def test_no_rate(text: str) -> None:
    with pytest.raises(CorralError) as caught:
        parse_rate(text)
    assert caught.value.code == "bad_rate"
