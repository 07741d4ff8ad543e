import pytest

from corral.guard.finding import NOTHING, Finding, Part
from corral.guard.text import TextStage


@pytest.mark.parametrize("text", ["", "plain", "tab\tline\r\nend", "é ß 漢 😀 e\u0301", "x²①"])
def test_ordinary_text_is_taken_as_it_is(text: str) -> None:
    assert TextStage().look(Part("prompt", text, "user")) is NOTHING


@pytest.mark.claim("TXT-03")
@pytest.mark.parametrize("bad", [0x00, 0x1B, 0x7F, 0x85, 0xD800, 0xDFFF, 0xFFFE])
def test_characters_that_no_text_needs_are_refused(bad: int) -> None:
    verdict = TextStage().look(Part("prompt", "ab" + chr(bad), "user"))
    assert verdict.findings == (Finding("invalid_text", 2, 3, f"U+{bad:04X}"),)
