"""Pieces are gathered by the clock; the first goes out at once, nothing is lost or swapped."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from corral.engine.pacer import Pacer
from corral.engine.plain_json import encode
from corral.engine.translate import Turn
from corral.engine.worker_wire import chunk, encode_lines, end, failed
from tests.support.running_clock import running_clock

A, B = {"token": "b", "logprob": -1.0}, {"token": "c", "logprob": -2.0}


class Sent:
    def __init__(self) -> None:
        self.writes: list[list[dict]] = []
        self.some = threading.Event()

    def __call__(self, messages: list) -> None:
        self.writes.append(list(messages))
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
    sent = Sent()
    pacer = Pacer(sent, 3600)
    token = {"token": "t" * 40, "logprob": -1.0}
    rich = {**token, "top_logprobs": [token] * 20}
    turns = [begin(pacer, request_id) for request_id in (1, 2)]
    for turn in turns:
        for _ in range(2000):
            turn.take(piece("x", rich))
    pacer.tick()
    assert sent.text(1) != "x" * 2000
    for turn in turns:
        pacer.finish(turn)
    for write in sent.writes:
        encode_lines(write)  # raises where a line is too long
    assert [sent.text(request_id) for request_id in (1, 2)] == ["x" * 2000] * 2
    assert sent.writes[-1][-1] == end(2, "stop", 0, 2000, 0)


def test_a_broken_chunk_fails_its_request_alone() -> None:
    sent = Sent()
    pacer = Pacer(sent, 3600)
    bad, good = begin(pacer, 1), begin(pacer, 2)
    for turn in (bad, good):
        turn.take(piece("a"))
        turn.take(piece("b"))
    for broken in (b"{", b"[]", b"7", b'{"choices": 7}', b'{"choices": [{"text": 7}]}'):
        bad.take(broken)
    pacer.tick()
    assert sent.text(2) == "ab"
    assert bad.take(piece("c")), "the engine is told to stop"
    pacer.finish(bad)
    assert sent.writes[-1][-1] == failed(1, "engine_error")
    assert not good.take(piece("c"))


def test_without_an_interval_each_piece_goes_out_at_once() -> None:
    sent = Sent()
    turn = begin(Pacer(sent, 0))
    for text in "abc":
        turn.take(piece(text))
    assert sent.writes == [[chunk(1, t, [])] for t in "abc"]


def test_the_clock_sends_what_is_held() -> None:
    sent = Sent()
    pacer = Pacer(sent, 0.02)
    for request_id in (1, 2):  # the clock rests between them
        turn = begin(pacer, request_id)
        turn.take(piece("a"))
        sent.some.clear()
        with running_clock() as clock:
            turn.take(piece("b"))
            assert sent.some.wait(30)
            assert clock.now_s < 2
        assert sent.text(request_id) == "ab"
        pacer.finish(turn)


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


def test_no_text_is_lost_between_threads() -> None:
    sent = Sent()
    pacer = Pacer(sent, 0.0001)
    numbers = [f"{number} " for number in range(2000)]

    def answer(request_id: int) -> None:
        turn = begin(pacer, request_id)
        for number in numbers:
            turn.take(piece(number))
        pacer.finish(turn)

    threads = [threading.Thread(target=answer, args=(request_id,)) for request_id in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sent.text(request_id) for request_id in range(3)] == ["".join(numbers)] * 3
    ends = [message for write in sent.writes for message in write if message["ev"] == "end"]
    assert [one["usage"]["completion_tokens"] for one in ends] == [2000] * 3
