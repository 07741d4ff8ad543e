import pytest

from corral.guard.text import check_text


@pytest.mark.parametrize("text", ["", "plain", "tab\tline\r\nend", "é ß 漢 😀 e\u0301", "x²①"])
def test_ordinary_text_is_taken_as_it_is(text: str) -> None:
    assert check_text(text) is None


@pytest.mark.claim("TXT-03")
@pytest.mark.parametrize("bad", [0x00, 0x1B, 0x7F, 0x85, 0xD800, 0xDFFF, 0xFFFE])
def test_characters_that_no_text_needs_are_refused(bad: int) -> None:
    denial = check_text("ab" + chr(bad))
    assert denial is not None
    assert denial.code == "invalid_text"
    assert f"U+{bad:04X} at position 2" in denial.message
