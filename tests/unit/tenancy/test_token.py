"""The form of a key and its hash."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.errors import CorralError
from corral.tenancy.token import hash_token, load_pepper, new_token, parse_token


def test_new_tokens_are_well_formed_and_differ() -> None:
    made = [new_token() for _ in range(200)]
    assert all(parse_token(token) == prefix for token, prefix in made)
    assert len({token for token, _ in made}) == 200
    assert not any(prefix[0].isdigit() for _, prefix in made)


@given(st.text(max_size=120))
def test_any_text_is_parsed_or_refused_without_an_exception(text: str) -> None:
    assert parse_token(text) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t + "\n",
        lambda t: t[:-1],
        lambda t: t.upper(),
        lambda t: t.replace("sk-corral-", "sk-corral_"),
        lambda t: t[:-1] + "٣",
        lambda t: " " + t[1:],
    ],
)
def test_near_misses_are_refused(change: object) -> None:
    assert callable(change)
    assert parse_token(change(new_token()[0])) is None


def test_the_hash_depends_on_token_and_pepper() -> None:
    a, b = new_token()[0], new_token()[0]
    assert hash_token(b"1" * 32, a) == hash_token(b"1" * 32, a)
    assert len({hash_token(p * 32, t) for p in (b"1", b"2") for t in (a, b)}) == 4


def test_a_missing_or_short_pepper_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorralError) as missing:
        load_pepper(tmp_path / "pepper")
    assert missing.value.code == "pepper_missing"
    (tmp_path / "pepper").write_bytes(b"short")
    with pytest.raises(CorralError) as short:
        load_pepper(tmp_path / "pepper")
    assert short.value.code == "bad_pepper"
