"""Pieces are gathered by the clock; the first goes out at once, nothing is lost or swapped."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.limits import WIRE_LINE_BYTES
from corral.engine.pacer import Pacer
from corral.engine.plain_json import encode
from corral.engine.translate import Turn
from corral.engine.worker_wire import chunk, end, failed
from tests.support.running_clock import running_clock

A, B = {"token": "b", "logprob": -1.0}, {"token": "c", "logprob": -2.0}


class Sent:
    def __init__(self) -> None:
        self.writes: list[list[dict]] = []
        self.some = threading.Event()

    def __call__(self, lines: bytes) -> None:
        assert all(len(line) < WIRE_LINE_BYTES for line in lines.splitlines())
        self.writes.append([json.loads(line) for line in lines.splitlines()])
        self.some.set()

    def text(self, request_id: int) -> str:
        every = [m for write in self.writes for m in write]
        return "".join(m["text"] for m in every if m["ev"] == "c" and m["id"] == request_id)


def begin(pacer: Pacer, request_id: int = 1) -> Turn:
    return Turn(request_id, start=pacer.start, cancelled=set())


def piece(text: str, logprob: dict | None = None) -> bytes:
    choice: dict = {"text": text}
    if logprob is not None:
        choice["logprobs"] = {"content": [logprob]}
    return encode({"choices": [choice]})


def test_the_first_piece_goes_out_at_once_and_later_ones_wait() -> None:
    sent = Sent()
    pacer = Pacer(sent, 3600)
    turn = begin(pacer)
    turn.take(piece("a"))
    assert sent.writes == [[chunk(1, "a", [])]]
    turn.take(piece("b", A))
    turn.take(piece("c", B))
    assert len(sent.writes) == 1
    pacer.tick()
    assert sent.writes[1:] == [[chunk(1, "bc", [A, B])]]
    pacer.tick()
    assert len(sent.writes) == 2


def test_a_chunk_without_text_is_no_first_piece() -> None:
    sent = Sent()
    turn = begin(Pacer(sent, 3600))
    turn.take(encode({"prompt_progress": {"total": 9, "cache": 0}}))
    assert not sent.writes
    turn.take(piece("a"))
    assert sent.writes == [[chunk(1, "a", [])]]


def test_one_tick_is_one_write_for_all_requests() -> None:
    sent = Sent()
    pacer = Pacer(sent, 3600)
    for request_id in (1, 2, 3):
        turn = begin(pacer, request_id)
        turn.take(piece("x"))
        turn.take(piece("y"))
    pacer.tick()
    assert sent.writes[3:] == [[chunk(1, "y", []), chunk(2, "y", []), chunk(3, "y", [])]]


@pytest.mark.parametrize(
    ("answers", "intervals"), [(0, 1), (1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (16, 4), (64, 4)]
)
def test_events_cost_no_more_where_more_answers_run(answers: int, intervals: int) -> None:
    pacer = Pacer(Sent(), 3600)
    turns = [begin(pacer, number) for number in range(answers)]
    for turn in turns:
        turn.take(piece("x"))
    assert pacer.interval_s == 3600 * intervals
    for turn in turns:
        pacer.finish(turn)
    assert pacer.interval_s == 3600


def test_the_end_brings_what_is_held_and_forgets_the_request() -> None:
    sent = Sent()
    pacer = Pacer(sent, 3600)
    turn = begin(pacer)
    turn.take(piece("a"))
    turn.take(piece("b"))
    pacer.finish(turn)
    assert sent.writes[1:] == [[chunk(1, "b", []), end(1, "stop", 0, 2, 0)]]
    turn.take(piece("late"))
    pacer.tick()
    assert len(sent.writes) == 2
    begin(pacer).take(piece("again"))  # a first piece once more
    assert sent.writes[2:] == [[chunk(1, "again", [])]]


def test_no_line_is_too_long_after_a_stall() -> None:
    """A reader that stalls lets thousands of tokens with their alternatives come together."""
    sent = Sent()  # asserts each line's length
    pacer = Pacer(sent, 3600)
    token = {"token": "t" * 40, "logprob": -1.0}
    rich = {**token, "top_logprobs": [token] * 20}
    by_tick, by_end = begin(pacer, 1), begin(pacer, 2)
    for turn in (by_tick, by_end):
        for _ in range(2000):
            turn.take(piece("x", rich))
        if turn is by_tick:
            pacer.tick()
            assert sent.text(1) == "x" * 2000
    pacer.finish(by_end)
    assert sent.text(2) == "x" * 2000
    assert sent.writes[-1][-1] == end(2, "stop", 0, 2000, 0)


BROKEN = (
    b"{", b"[]", b"7", b'{"choices": 7}', b'{"choices": [{"text": 7}]}', b'{"error": 7}',
    b'{"choices": [{"text": "x", "logprobs": {"content": [{"token": "x", "logprob": 1e999}]}}]}',
    b'{"usage": {"prompt_tokens": 1e999, "completion_tokens": 1}}',
    b'{"prompt_progress": {"total": "9", "cache": 0}}', piece("x" * WIRE_LINE_BYTES),
)  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("is_ticked", [True, False])
def test_a_broken_chunk_fails_its_request_alone(broken: bytes, is_ticked: bool) -> None:
    sent = Sent()
    pacer = Pacer(sent, 3600)
    bad, good = begin(pacer, 1), begin(pacer, 2)
    for turn in (bad, good):
        turn.take(piece("a"))
        turn.take(piece("b"))
    bad.take(broken)
    if is_ticked:
        pacer.tick()
        assert sent.text(2) == "ab"
        assert bad.take(piece("c")), "the engine is told to stop"
    pacer.finish(bad)
    assert sent.writes[-1][-1] == failed(1, "engine_error")
    pacer.finish(good)
    assert sent.text(2) == "ab"
    assert sent.writes[-1][-1] == end(2, "stop", 0, 2, 0)


def test_an_error_that_the_engine_told_counts_more_than_that_it_raised() -> None:
    sent = Sent()
    pacer = Pacer(sent, 3600)
    turn = begin(pacer)
    turn.take(piece("a"))
    turn.take(piece("b"))
    turn.take(encode({"error": {"type": "exceed_context_size_error"}}))
    turn.take(piece("after it"))
    turn.crashed()
    pacer.finish(turn)
    assert sent.writes[1:] == [[chunk(1, "b", []), failed(1, "context_length_exceeded")]]


def test_without_an_interval_each_piece_goes_out_at_once() -> None:
    sent = Sent()
    turn = begin(Pacer(sent, 0))
    for text in "abc":
        turn.take(piece(text))
    assert sent.writes == [[chunk(1, t, [])] for t in "abc"]


def test_the_clock_sends_what_is_held_and_rests_between_answers() -> None:
    sent = Sent()
    pacer = Pacer(sent, 0.02)
    for request_id in (1, 2, 3):
        assert pacer.is_resting
        turn = begin(pacer, request_id)
        turn.take(piece("a"))
        assert not pacer.is_resting
        sent.some.clear()
        with running_clock() as clock:
            turn.take(piece("b"))
            assert sent.some.wait(30)
            assert clock.now_s < 2
        assert sent.text(request_id) == "ab"
        pacer.finish(turn)
        until = time.monotonic() + 30
        while not pacer.is_resting and time.monotonic() < until:
            time.sleep(0.001)


@given(st.lists(st.tuples(st.integers(1, 3), st.text(max_size=3), st.booleans()), max_size=40))
def test_no_text_is_lost_or_swapped(steps: list[tuple[int, str, bool]]) -> None:
    sent = Sent()
    pacer = Pacer(sent, 3600)
    turns = {number: begin(pacer, number) for number in (1, 2, 3)}
    given_texts = dict.fromkeys(turns, "")
    for request_id, text, tick in steps:
        turns[request_id].take(piece(text))
        given_texts[request_id] += text
        if tick:
            pacer.tick()
    for turn in turns.values():
        pacer.finish(turn)
    assert {i: sent.text(i) for i in turns} == given_texts


@pytest.fixture
def restless_threads() -> Iterator[None]:
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


@pytest.mark.usefixtures("restless_threads")
def test_no_text_is_lost_between_threads() -> None:
    sent = Sent()
    pacer = Pacer(sent, 0.0001)
    numbers = [f"{number} " for number in range(500)]

    def answer(request_id: int) -> None:
        turn = begin(pacer, request_id)
        for number in numbers:
            turn.take(piece(number))
        pacer.finish(turn)

    for round_ in range(8):
        ids = [10 * round_ + number for number in range(3)]
        threads = [threading.Thread(target=answer, args=(request_id,)) for request_id in ids]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [sent.text(request_id) for request_id in ids] == ["".join(numbers)] * 3
    ends = [message for write in sent.writes for message in write if message["ev"] == "end"]
    assert [one["usage"]["completion_tokens"] for one in ends] == [500] * 24
