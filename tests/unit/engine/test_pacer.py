"""Pieces are gathered by the clock; the first goes out at once, nothing is lost or swapped."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from corral.engine.pacer import Pacer
from corral.engine.worker_wire import chunk, end
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


def test_the_first_piece_goes_out_at_once_and_later_ones_wait() -> None:
    sent = Sent()
    pacer = Pacer(sent, 3600)
    pacer.piece(1, "a", [])
    assert sent.writes == [[chunk(1, "a", [])]]
    pacer.piece(1, "b", [A])
    pacer.piece(1, "c", [B])
    assert len(sent.writes) == 1
    pacer.tick()
    assert sent.writes[1:] == [[chunk(1, "bc", [A, B])]]
    pacer.tick()
    assert len(sent.writes) == 2


def test_one_tick_is_one_write_for_all_requests() -> None:
    sent = Sent()
    pacer = Pacer(sent, 3600)
    for request_id in (1, 2, 3):
        pacer.piece(request_id, "x", [])
        pacer.piece(request_id, "y", [])
    pacer.tick()
    assert sent.writes[3:] == [[chunk(1, "y", []), chunk(2, "y", []), chunk(3, "y", [])]]


def test_the_end_brings_what_is_held_and_forgets_the_request() -> None:
    sent = Sent()
    pacer = Pacer(sent, 3600)
    pacer.piece(1, "a", [])
    pacer.piece(1, "b", [])
    pacer.finish(end(1, "stop", 1, 1, 0), 1)
    assert sent.writes[1:] == [[chunk(1, "b", []), end(1, "stop", 1, 1, 0)]]
    pacer.piece(1, "again", [])  # a first piece once more
    assert sent.writes[2:] == [[chunk(1, "again", [])]]


def test_without_an_interval_each_piece_goes_out_at_once() -> None:
    sent = Sent()
    pacer = Pacer(sent, 0)
    for text in "abc":
        pacer.piece(1, text, [])
    assert sent.writes == [[chunk(1, t, [])] for t in "abc"]


def test_the_clock_sends_what_is_held() -> None:
    sent = Sent()
    pacer = Pacer(sent, 0.02)
    pacer.piece(1, "a", [])
    sent.some.clear()
    with running_clock() as clock:
        pacer.piece(1, "b", [])
        assert sent.some.wait(30)
        assert clock.now_s < 2
    assert sent.text(1) == "ab"


@given(st.lists(st.tuples(st.integers(1, 3), st.text(max_size=3), st.booleans()), max_size=40))
def test_no_text_is_lost_or_swapped(steps: list[tuple[int, str, bool]]) -> None:
    sent = Sent()
    pacer = Pacer(sent, 3600)
    given_texts = dict.fromkeys((1, 2, 3), "")
    for request_id, text, tick in steps:
        pacer.piece(request_id, text, [])
        given_texts[request_id] += text
        if tick:
            pacer.tick()
    for request_id in given_texts:
        pacer.finish(end(request_id, "stop", 1, 1, 0), request_id)
    assert {i: sent.text(i) for i in given_texts} == given_texts
