"""The worker's shim with an engine made of Python; the real one is used in tests/e2e."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from corral.core.limits import WIRE_LINE_BYTES
from corral.engine.drivers.interface import ConversationError, MediaError
from corral.engine.plain_json import encode
from corral.engine.prompt_ids import PromptError
from corral.engine.wire import (
    Chunk,
    End,
    Failed,
    Fatal,
    FromWorker,
    Usage,
    decode_from_worker,
)
from corral.engine.worker import Output, Worker, parse_options, read_lines
from corral.engine.worker_wire import Cancel, Generate, LineError, Media, chunk, fatal
from corral.sandbox.policy import sealed_document

OnChunk = Callable[[bytes], bool]
Answer = Callable[[dict[str, Any], OnChunk], None]


class FakeEngine:
    """Implements `Engine`."""

    name = "fake 1"

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.chats = 0
        self.media: list[str] = []

    def chat(self, body: dict[str, Any], media: list[str], on_chunk: OnChunk) -> None:
        if "not of ours" in media:
            raise MediaError
        self.media += media
        self.chats += 1
        self._answer(body, on_chunk)

    def complete(self, body: dict[str, Any], on_chunk: OnChunk) -> None:
        self._answer(body, on_chunk)


class Running:
    """A worker whose lines are read from a pipe, as the gateway reads them."""

    def __init__(self, answer: Answer, parallel: int = 1, interval_s: float = 0) -> None:
        read, self._write = os.pipe()
        self._file = os.fdopen(read, "rb")
        self.engine = FakeEngine(answer)
        self.worker = Worker(self.engine, Output(self._write), parallel, interval_s=interval_s)

    def next(self) -> FromWorker:
        return decode_from_worker(self._file.readline())

    def close(self) -> None:
        # The pool's threads are daemons; what one of them still says after the test goes nowhere.
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self._write)
        self._file.close()


@pytest.fixture
def running() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def make(answer: Answer, parallel: int = 1, interval_s: float = 0) -> Running:
        made.append(Running(answer, parallel, interval_s))
        return made[-1]

    yield make
    for one in made:
        one.close()


Make = Callable[..., Running]


def prompt(number: int, text: str = "p") -> Generate:
    return Generate(number, {"max_tokens": 8}, prompt=text)


def text_chunk(text: str) -> bytes:
    return encode({"choices": [{"text": text}]})


def say(*texts: str) -> Answer:
    def answer(_: dict[str, Any], on_chunk: OnChunk) -> None:
        for text in texts:
            if on_chunk(text_chunk(text)):
                return

    return answer


def test_a_text_is_continued(running: Make) -> None:
    made = running(say("a", "b"))
    made.worker.take(prompt(7))
    assert [made.next() for _ in range(3)] == [
        Chunk(7, "a"), Chunk(7, "b"), End(7, "stop", Usage(0, 2)),
    ]  # fmt: skip
    assert made.engine.chats == 0


def test_a_chat_is_answered(running: Make) -> None:
    made = running(say())
    made.worker.take(Generate(1, {"max_tokens": 8}, [{"role": "user", "content": "x"}]))
    assert made.next() == End(1, "stop", Usage(0, 0))
    assert made.engine.chats == 1


def test_a_chat_is_asked_with_what_came_before_it(running: Make) -> None:
    made = running(say())
    places = [{"role": "user", "content": "x", "media": [0, 1]}]
    made.worker.take(Media(1, 0, "QU", last=False))
    made.worker.take(Media(1, 0, "FB", last=True))
    made.worker.take(Media(1, 1, "QkI=", last=True))
    made.worker.take(Generate(1, {"max_tokens": 8}, places))
    assert made.next() == End(1, "stop", Usage(0, 0))
    assert made.engine.media == ["QUFB", "QkI="]
    made.worker.take(Media(2, 0, "not of ours", last=True))
    made.worker.take(Generate(2, {"max_tokens": 8}, [places[0] | {"media": [0]}]))
    assert made.next() == Failed(2, "bad_request")


@pytest.mark.claim("TXT-08")
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("secret text of a tenant"), "engine_error"),
        (PromptError(), "special_token"),
        (ConversationError(), "bad_request"),
    ],
)
def test_an_engine_that_raises_fails_the_request_only(
    running: Make, error: Exception, code: str
) -> None:
    def answer(body: dict[str, Any], on_chunk: OnChunk) -> None:
        if body["prompt"] == "bad":
            raise error
        say("fine")(body, on_chunk)

    made = running(answer)
    made.worker.take(prompt(1, "bad"))
    assert made.next() == Failed(1, code)
    made.worker.take(prompt(2))
    assert made.next() == Chunk(2, "fine")


def test_requests_run_in_parallel_up_to_the_pool(running: Make) -> None:
    meet = threading.Barrier(2, timeout=10)

    def answer(_: dict[str, Any], __: OnChunk) -> None:
        meet.wait()

    made = running(answer, parallel=2)
    for number in (1, 2):
        made.worker.take(prompt(number))
    ends = [made.next(), made.next()]
    assert sorted(end.id for end in ends if isinstance(end, End)) == [1, 2]


def test_cancelling_a_running_request(running: Make) -> None:
    began, go_on = threading.Event(), threading.Event()

    def answer(_: dict[str, Any], on_chunk: OnChunk) -> None:
        on_chunk(text_chunk("a"))
        began.set()
        go_on.wait(10)
        assert on_chunk(text_chunk("b"))

    made = running(answer)
    made.worker.take(prompt(1))
    assert began.wait(10)
    made.worker.take(Cancel(1))
    go_on.set()
    assert [made.next(), made.next()] == [Chunk(1, "a"), End(1, "cancelled", Usage(0, 1))]


@pytest.mark.parametrize("ending", ["cancelled", "raised", "whole"])
def test_what_waits_for_the_clock_comes_before_the_end(running: Make, ending: str) -> None:
    def answer(_: dict[str, Any], on_chunk: OnChunk) -> None:
        for text in "abc":
            assert not on_chunk(text_chunk(text))
        if ending == "raised":
            raise RuntimeError("secret text of a tenant")
        if ending == "cancelled":
            made.worker.take(Cancel(1))
            assert on_chunk(text_chunk("d"))

    made = running(answer, interval_s=3600)
    made.worker.take(prompt(1))
    assert [made.next(), made.next()] == [Chunk(1, "a"), Chunk(1, "bc")]
    assert (
        made.next()
        == {
            "cancelled": End(1, "cancelled", Usage(0, 3)),
            "raised": Failed(1, "engine_error"),
            "whole": End(1, "stop", Usage(0, 3)),
        }[ending]
    )
    made.worker.take(prompt(2))
    assert made.next() == Chunk(2, "a"), "the slot is free again"


def test_cancelling_a_waiting_request(running: Make) -> None:
    go_on = threading.Event()

    def answer(_: dict[str, Any], __: OnChunk) -> None:
        go_on.wait(10)

    made = running(answer)
    for number in (1, 2):
        made.worker.take(prompt(number))
    made.worker.take(Cancel(2))
    go_on.set()
    assert made.next() == End(1, "stop", Usage(0, 0))
    assert made.next() == End(2, "cancelled", Usage(0, 0))


def test_cancelling_what_has_ended_does_not_cancel_a_later_one(running: Make) -> None:
    made = running(say("a"))
    made.worker.take(Cancel(1))
    made.worker.take(prompt(1))
    assert made.next() == Chunk(1, "a")


def test_lines_of_several_threads_do_not_mix() -> None:
    read, write = os.pipe()
    output = Output(write)
    text = "x" * 30_000  # more than a pipe takes in one write once it is nearly full

    def send(number: int) -> None:
        for _ in range(5):
            output.send([chunk(number, text, [])])
        if number == 0:
            output.send([fatal("end")])

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    with os.fdopen(read, "rb") as file:
        messages = [decode_from_worker(file.readline()) for _ in range(21)]
    assert sum(m == Fatal("end") for m in messages) == 1
    assert sum(isinstance(m, Chunk) and m.text == text for m in messages) == 20
    for thread in threads:
        thread.join()
    os.close(write)


def lines_of(data: bytes) -> list[bytes]:
    read, write = os.pipe()

    def send() -> None:
        with os.fdopen(write, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        return list(read_lines(read))
    finally:
        os.close(read)
        thread.join()


def test_lines_are_split() -> None:
    assert lines_of(b"a\n\nbc\nrest without its end") == [b"a", b"", b"bc"]


def test_the_longest_line() -> None:
    assert [len(line) for line in lines_of(b"a" * (WIRE_LINE_BYTES - 1) + b"\n")] == [
        WIRE_LINE_BYTES - 1
    ]


@pytest.mark.parametrize("extra", [b"", b"\n"])
def test_a_line_over_the_limit(extra: bytes) -> None:
    read, write = os.pipe()
    data = b"a" * WIRE_LINE_BYTES + extra

    def send() -> None:
        with os.fdopen(write, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=send)
    thread.start()
    with pytest.raises(LineError):
        list(read_lines(read))
    while os.read(read, 65536):
        pass
    os.close(read)
    thread.join()


OPTIONS = [
    "--context-tokens",
    "128",
    "--parallel",
    "1",
    "--threads",
    "1",
    "--event-interval-ms",
    "0",
    "--landlock",
    "required",
]


@pytest.mark.parametrize(
    ("profile", "code"), [(sealed_document("engine"), "load_failed"), ("{", "seal_failed")]
)
def test_a_worker_that_cannot_serve_says_so(tmp_path: Path, profile: str, code: str) -> None:
    (tmp_path / "sealed.json").write_text(profile)
    # Coverage could not write its file any more.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-m", "corral.engine.worker", "--model", "/dev/null", *OPTIONS,
         "--seal", str(tmp_path / "sealed.json")],
        capture_output=True, check=False, timeout=60, env=environment,
    )  # fmt: skip
    assert done.returncode == 1
    assert decode_from_worker(done.stdout) == Fatal(code)
    assert code.encode() in done.stderr


@pytest.mark.parametrize(
    ("more", "adapter", "projector"),
    [((), None, ""), (("--adapter", "/a", "--adapter-scale", "1500"), ("/a", 1.5), ""),
     (("--projector", "/p"), None, "/p")],
)  # fmt: skip
def test_an_adapter_is_named_with_its_scale_or_a_projector_or_neither(
    more: tuple[str, ...], adapter: tuple[str, float] | None, projector: str
) -> None:
    plain = ["--model", "/m", "--seal", "/s", *OPTIONS]
    options = parse_options([*plain, *more])
    assert (options.adapter, options.projector) == (adapter, projector)
    both = (*more, "--projector", "/p", "--adapter", "/a", "--adapter-scale", "1")
    with pytest.raises(ValueError, match="the worker takes"):
        parse_options([*plain, *both])
    for wrong in (more[:2], more[2:], ("--lora", "/a"), ()):
        if wrong not in {more, ()}:
            with pytest.raises(ValueError, match="the worker takes"):
                parse_options([*plain, *wrong])
    with pytest.raises(ValueError, match="the worker takes"):
        parse_options([*plain[2:], *more])
