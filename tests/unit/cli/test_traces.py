from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.cli.traces import trace_sentence
from corral.core.home import Home
from corral.telemetry.spans import trace_line
from corral.telemetry.timeline import Timeline
from corral.telemetry.trace_files import TraceWriter, trace_file
from tests.support.command_line import Corral


def trace(number: int, done: Callable[[Timeline], None] = lambda _: None) -> bytes:
    line = Timeline("POST", "/v1/completions", f"req_{number}", done)
    line.by("acme", "abcd")
    line.about("tiny", "text_completion")
    line.enter("lease")
    line.enter("engine")
    line.hear()
    line.settle(7, 3, 0)
    line.answered(200)
    line.end("ok")
    return trace_line(line)


@pytest.fixture
def place(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.state.mkdir()
    writer = TraceWriter(home.state, files=2)
    for number in range(60):
        writer.write(trace(number))
    writer.close()
    return home


def test_tail_and_export(corral: Corral, place: Home) -> None:
    where = ("--home", str(place.root))
    shown = corral("traces", "tail", *where).out.splitlines()
    assert len(shown) == 50
    for word in ("POST /v1/completions", "200", "ok", "acme", "abcd", "tiny", "req_59", "lease",
                 "engine", "(first token", "tokens 7+3"):  # fmt: skip
        assert word in shown[-1]
    assert corral("traces", "tail", "-n", "0", *where).out == ""
    one = corral("traces", "tail", "-n", "1", "--json", *where).out
    assert json.loads(one)["resourceSpans"]
    whole = corral("traces", "export", *where).out
    assert whole == trace_file(place.state, 1).read_text()
    assert whole.endswith(one)


def test_a_request_whose_engine_said_nothing() -> None:
    line = Timeline("POST", "/v1/completions", "req_1", lambda _: None)
    line.about("tiny", "text_completion")
    line.enter("engine")
    line.end("worker_failed")
    said = trace_sentence(trace_line(line)) or ""
    assert said.endswith("ms tokens ?+?")
    assert "first token" not in said


def test_there_may_be_none(corral: Corral, tmp_path: Path) -> None:
    none = corral("traces", "tail", "--home", str(tmp_path))
    assert none.out == ""
    assert "telemetry.trace_files is 0" in none.err


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\xff", b"[]", b"{}", b'{"resourceSpans":[]}',
        trace(1).replace(b'"startTimeUnixNano":"1', b'"startTimeUnixNano":"x'),
        trace(1).replace(b'"startTimeUnixNano":"1', b'"startTimeUnixNano":"9999999999999999991'),
    ],
    ids=range(7),
)  # fmt: skip
def test_what_is_no_trace_is_left_out(line: bytes) -> None:
    assert trace_sentence(line) is None


def test_a_forged_trace_is_safe_for_a_terminal() -> None:
    said = trace_sentence(trace(1).replace(b"tiny", rb"\u001b[2J\nx"))
    assert said is not None
    assert "\x1b" not in said
    assert "\n" not in said


def test_a_link_is_not_read(corral: Corral, place: Home) -> None:
    trace_file(place.state, 2).symlink_to("/etc/hostname")
    ended = corral("traces", "export", "--home", str(place.root))
    assert ended.code == 1
    assert "traces_unsafe" in ended.err
