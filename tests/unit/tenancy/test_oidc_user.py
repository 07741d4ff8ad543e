"""Numbers of users of OIDC providers."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.tenancy.holder import USERS, holder_name, parse_holder
from corral.tenancy.oidc_user import parse_subject, user_key, user_number

KEY = user_key(bytes(32))
SUBJECTS = st.text(st.characters(max_codepoint=127), min_size=1, max_size=255)
USER = st.tuples(st.text(max_size=20), SUBJECTS)


@pytest.mark.claim("OIDC-04")
@given(USER, USER)
def test_each_user_has_one_number_and_its_name_is_read_back(
    one: tuple[str, str], two: tuple[str, str]
) -> None:
    number = user_number(KEY, *one)
    assert USERS <= number < 1 << 53
    assert parse_holder(holder_name(number)) == number
    assert (number == user_number(KEY, *two)) == (one == two)
    assert number != user_number(user_key(bytes([1] * 32)), *one), "another installation"


@pytest.mark.claim("OIDC-04")
@given(st.text(st.characters(max_codepoint=127), min_size=2, max_size=30), st.data())
def test_where_the_issuer_ends_makes_a_difference(text: str, data: st.DataObject) -> None:
    cuts = data.draw(st.sets(st.integers(0, len(text) - 1), min_size=2))
    pairs = [(text[:cut], text[cut:]) for cut in cuts]
    assert len({hashlib.sha256("".join(one).encode()).digest() for one in pairs}) == 1, "the attack"
    assert len({user_number(KEY, *one) for one in pairs}) == len(pairs)


def test_it_stays_what_it_is_in_the_tables_that_are_out_there() -> None:
    assert holder_name(user_number(KEY, "https://id.example", "alice")) == "oidc-8cda579285905"


@pytest.mark.claim("OIDC-04")
@given(SUBJECTS)
def test_a_subject_is_kept_as_it_is(subject: str) -> None:
    assert parse_subject(subject) == subject


@pytest.mark.claim("OIDC-04")
@pytest.mark.parametrize(
    "said", [None, "", "a" * 256, 7, 7.0, True, b"alice", ["alice"], {"sub": "alice"}, "\u0430",
             "ali\u0301ce", "\ud800"],
    ids=range(12),
)  # fmt: skip
def test_what_is_no_subject_is_nobody(said: object) -> None:
    assert parse_subject(said) is None
