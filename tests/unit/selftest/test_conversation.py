"""A probe program is hostile: whatever it says is bounded, checked, or cut off."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.selftest.conversation import Results, converse
from corral.selftest.wire import LINES_MAX, ProbeBrokeProtocol, Said, parse_line

GOOD = b'{"id": "files.passwd", "outcome": "ENOENT"}'
LIES = [
    b'{"id": "../../etc", "outcome": "ok"}',
    b'{"id": "files.passwd", "outcome": "\\u001b[2J"}',
    b'{"id": "files.passwd", "outcome": "<script>"}',
    b'{"id": "files.passwd", "outcome": 1}',
    b'{"id": "files.passwd", "outcome": "ok", "extra": 1}',
    b'{"id": "files.passwd"}', b"[]", b"[" * 500, b"1e999", b"not json", b"\xff", b"",
    b'{"id": "files.passwd", "outcome": "' + b"a" * 600 + b'"}',
]  # fmt: skip


def test_a_result_and_the_end() -> None:
    assert parse_line(GOOD) == Said("files.passwd", "ENOENT")
    assert parse_line(b'{"end": true}') is None


@pytest.mark.claim("ESC-04")
@pytest.mark.parametrize("line", LIES)
def test_lies(line: bytes) -> None:
    with pytest.raises(ProbeBrokeProtocol):
        parse_line(line)
    assert parse_line(GOOD)  # control


@given(st.binary(max_size=700))
def test_whatever_it_says(line: bytes) -> None:
    try:
        said = parse_line(line)
    except ProbeBrokeProtocol:
        return
    assert said is None or said.outcome.isascii()


def talk(
    said: bytes, *, close: bool = True, seconds: float = 5
) -> tuple[Results, dict[str, object]]:
    stdin, to_stdin = os.pipe()
    from_stdout, stdout = os.pipe()
    from_stderr, stderr = os.pipe()

    def program() -> None:
        with suppress(BrokenPipeError):
            os.write(stdout, said)
            os.write(stderr, b"noise")
        os.close(stderr)
        if close:
            os.close(stdout)

    thread = threading.Thread(target=program)
    thread.start()
    results = converse((to_stdin, from_stdout, from_stderr), {"zone": "engine"}, seconds=seconds)
    request = json.loads(os.read(stdin, 4096))
    for fd in (stdin, to_stdin, from_stdout, from_stderr):
        os.close(fd)
    thread.join()
    if not close:
        os.close(stdout)
    return results, request


def test_a_whole_conversation() -> None:
    results, request = talk(GOOD + b'\n{"end": true}\n')
    assert request == {"zone": "engine"}
    assert (results.outcomes, results.ended, results.broken) == (
        {"files.passwd": "ENOENT"}, True, "",
    )  # fmt: skip


@pytest.mark.claim("ESC-04")
@pytest.mark.parametrize(
    "said",
    [b" " * 10_000_000, GOOD + b"\n" + GOOD + b"\n", *(line + b"\n" for line in LIES if line)],
    ids=lambda said: repr(said[:20]),
)
def test_it_is_cut_off(said: bytes) -> None:
    assert talk(said)[0].broken == "cut-off"


def test_too_many_lines() -> None:
    lines = b"".join(
        b'{"id": "files.n%d", "outcome": "ok"}\n' % number for number in range(LINES_MAX + 1)
    )
    assert talk(lines)[0].broken == "cut-off"
    assert talk(lines[: lines.index(b"files.n99")].rpartition(b"\n")[0] + b"\n")[0].broken == ""


def test_silence() -> None:
    assert talk(b"", close=False, seconds=0.2)[0].broken == "silent"


def test_an_end_without_a_word() -> None:
    results, _ = talk(GOOD + b"\n")
    assert not results.ended
    assert results.broken == ""


def test_a_program_that_has_gone() -> None:
    stdin, to_stdin = os.pipe()
    os.close(stdin)
    other = os.open(os.devnull, os.O_RDONLY)
    assert converse((to_stdin, other, other), {}, seconds=1).broken == "gone"
    os.close(to_stdin)
    os.close(other)
