"""What other systems get to read."""

from __future__ import annotations

import json
import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from corral.audit.export import json_line, syslog_line
from tests.support.audit_chain import BEGIN, COMMAND, DENIED

MESSAGE = re.compile(
    r"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([!-~]{1,255}) corral - (\S{1,32}) "
    r"\[corral@32473((?: [!-~]{1,32}=\"(?:[^\"\\\]]|\\[\"\\\]])*\")+)\]"
)
"""RFC 5424, section 6, as far as we use it."""
PARAM = re.compile(r' ([!-~]+?)="((?:[^"\\\]]|\\["\\\]])*)"')


def _params(line: str) -> dict[str, str]:
    match = MESSAGE.fullmatch(line)
    assert match, line
    return {name: re.sub(r'\\(["\\\]])', r"\1", value) for name, value in PARAM.findall(match[5])}


def test_json_has_the_record_and_its_time_in_words() -> None:
    document = json.loads(json_line(msgspec.structs.replace(BEGIN, seq=4, at_ms=1_700_000_000_123)))
    assert document["time"] == "2023-11-14T22:13:20.123Z"
    assert (document["tenant"], document["seq"]) == ("acme", 4)
    assert "prev" not in document


def test_json_has_no_character_that_a_terminal_obeys() -> None:
    line = json_line(msgspec.structs.replace(BEGIN, model="\x9b31m\x1b]0;x\x07\u202e\u2028"))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["model"].startswith("\x9b31m")


def test_syslog_of_what_was_done_and_of_what_was_refused() -> None:
    done, refused = syslog_line(BEGIN, "host.example"), syslog_line(DENIED, "host.example")
    assert done.startswith("<109>1 1970-01-01T00:00:00.000Z host.example corral - begin [")
    assert refused.startswith("<108>1 ")
    assert _params(done)["action"] == "chat:create"
    assert _params(refused)["status"] == "401"
    assert _params(syslog_line(COMMAND, ""))["arg_name"] == "ci"


@given(st.text(), st.text(), st.integers(-(2**63), 2**63 - 1))
def test_no_value_breaks_out_of_its_field(text: str, name: str, at_ms: int) -> None:
    record = msgspec.structs.replace(
        BEGIN, tenant=text, arguments={name: text}, at_ms=at_ms, model='a"] [x y="'
    )
    try:
        line = syslog_line(record, text)
    except (UnicodeEncodeError, msgspec.EncodeError):
        return  # lone surrogates: no such record can be read from a file
    params = _params(line)
    assert params["model"] == 'a"] [x y="'
    printable = "".join(c if c.isprintable() or c == " " else "?" for c in text)
    if printable == text and text:
        assert params["tenant"] == text
    assert "\n" not in line
