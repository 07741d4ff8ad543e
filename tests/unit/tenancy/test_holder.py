"""Numbers of credentials and their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.tenancy.holder import CERTIFICATES, USERS, holder_name, parse_holder


@given(st.integers(0, (1 << 49) - 1), st.integers(0, (1 << 52) - 1))
def test_each_kind_has_its_numbers_and_its_names(row: int, user: int) -> None:
    assert parse_holder(holder_name(CERTIFICATES + row)) == (CERTIFICATES + row if row else None)
    assert parse_holder(holder_name(USERS + user)) == USERS + user < 1 << 53
    assert holder_name(row) == str(row)


@pytest.mark.parametrize("text", ["", "7", "cert-0", "cert-x", "oidc-", "oidc-0", "cert-1 "])
def test_other_words_are_no_name(text: str) -> None:
    assert parse_holder(text) is None
