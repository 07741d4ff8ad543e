"""What passes a parser is safe in a path, a process title and a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.errors import CorralError
from corral.core.ids import parse_digest, parse_model_name, parse_tenant_name

NAMES = st.text(max_size=100) | st.text("abcXYZ019._:-/ ", max_size=100)
ALNUM = "abcdefghijklmnopqrstuvwxyz0123456789"


@given(NAMES)
def test_a_tenant_name_is_a_label(text: str) -> None:
    try:
        name = parse_tenant_name(text)
    except CorralError as error:
        assert error.code == "bad_tenant_name"
    else:
        assert name == text
        assert 1 <= len(name) <= 32
        assert set(name) <= set(ALNUM + "-")
        assert name[0] != "-" != name[-1]


@given(NAMES)
def test_a_model_name_is_safe_in_a_path(text: str) -> None:
    try:
        name = parse_model_name(text)
    except CorralError as error:
        assert error.code == "bad_model_name"
    else:
        assert name == text
        assert 1 <= len(name) <= 96
        assert name.isascii()
        assert "/" not in name
        assert ".." not in name
        assert name[0].isalnum()
        assert name[-1].isalnum()


@given(st.text(max_size=80) | st.text("0123456789abcdefABCDEF", min_size=60, max_size=70))
def test_a_digest_has_one_spelling(text: str) -> None:
    try:
        digest = parse_digest(text)
    except CorralError as error:
        assert error.code == "bad_digest"
    else:
        assert digest == text.removeprefix("sha256:").lower()
        assert len(bytes.fromhex(digest)) == 32


@given(st.binary(min_size=32, max_size=32))
def test_every_digest_is_taken_with_and_without_its_prefix(raw: bytes) -> None:
    assert parse_digest(raw.hex()) == raw.hex()
    assert parse_digest("sha256:" + raw.hex().upper()) == raw.hex()


@pytest.mark.parametrize("name", ["a", "a-b", "0" * 32])
def test_good_tenant_names(name: str) -> None:
    assert parse_tenant_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "0" * 33, "a\n", "ä"])
def test_bad_tenant_names(name: str) -> None:
    with pytest.raises(CorralError, match="bad_tenant_name"):
        parse_tenant_name(name)


@pytest.mark.parametrize("name", ["", "a/b", "a..b", ".a", "a.", "a" * 97, "a\n", "a b", "é"])
def test_bad_model_names(name: str) -> None:
    with pytest.raises(CorralError, match="bad_model_name"):
        parse_model_name(name)
