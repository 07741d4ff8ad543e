from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from corral.cli.chat import Conversation, chat, speed_line
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.ids import Digest
from corral.core.limits import WIRE_LINE_BYTES
from corral.engine.local import LocalWorker
from corral.engine.sizing import trial_demand, trial_start
from corral.engine.wire import Chunk, End, Failed, Generate, Sampling, Usage
from tests.support.fake_launcher import FakeLauncher
from tests.support.memory_shapes import Model
from tests.support.served_template import TEXT


class Scripted:
    """A worker that answers from a script; the interface of `engine.local.LocalWorker`."""

    def __init__(self, *, texts: tuple[str, ...] = ("Hi", " there"), fail: str = "") -> None:
        self.texts = texts
        self.fail = fail
        self.seen: list[Generate] = []
        self.cancelled: list[int] = []
        self.interrupt = False

    def generate(self, request: Generate) -> Iterator[Chunk | End | Failed]:
        self.seen.append(request)
        if self.fail:
            yield Failed(request.id, self.fail)
            return
        for text in self.texts:
            yield Chunk(request.id, text)
            if self.interrupt:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
                break
        reason = "cancelled" if self.cancelled else "stop"
        yield End(request.id, reason, Usage(5, len(self.texts)))

    def cancel(self, request_id: int) -> None:
        self.cancelled.append(request_id)


def talk(worker: Scripted, system: str | None = None) -> Conversation:
    return Conversation(worker=worker, sampling=Sampling(max_tokens=8), system=system)  # type: ignore[arg-type]


def turns(request: Generate) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in request.messages or ()]


def test_turns_add_up_and_clear_keeps_the_system_message() -> None:
    worker = Scripted()
    conversation = talk(worker, "be brief")
    conversation.ask("one", show=False)
    conversation.ask("two", show=False)
    conversation.clear()
    conversation.ask("three", show=False)
    assert turns(worker.seen[1]) == [
        ("system", "be brief"), ("user", "one"), ("assistant", "Hi there"), ("user", "two"),
    ]  # fmt: skip
    assert turns(worker.seen[2]) == [("system", "be brief"), ("user", "three")]
    assert len({request.id for request in worker.seen}) == 3


@pytest.mark.claim("TXT-04")
def test_a_hostile_answer_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    worker = Scripted(texts=("\x1b[2J", "\x1b]52;c;AAAA\x07", "ok\r\u202e"))
    answer = talk(worker).ask("x", show=True)
    assert capsys.readouterr().out == "[2J]52;c;AAAAok\n"
    assert "\x1b" in answer.text


def test_a_failed_turn_is_forgotten() -> None:
    worker = Scripted(fail="context_length_exceeded")
    conversation = talk(worker)
    with pytest.raises(CorralError) as failed:
        conversation.ask("long", show=False)
    assert failed.value.code == "context_length_exceeded"
    worker.fail = ""
    conversation.ask("short", show=False)
    assert turns(worker.seen[1]) == [("user", "short")]


def test_ctrl_c_cancels_the_answer_and_nothing_else() -> None:
    worker = Scripted(texts=("a", "b"))
    worker.interrupt = True
    before = signal.getsignal(signal.SIGINT)
    answer = talk(worker).ask("x", show=False)
    assert (answer.reason, answer.text) == ("cancelled", "a")
    assert worker.cancelled == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_text_that_is_no_unicode_is_replaced() -> None:
    worker = Scripted()
    talk(worker).ask("caf\udce9", show=False)
    assert turns(worker.seen[0]) == [("user", "caf?")]


def test_chat_reads_turns_until_bye(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["", "/what", "hello", "/clear", "again", "/bye", "never"])
    monkeypatch.setattr("builtins.input", lambda _prompt: next(typed))
    worker = Scripted()
    chat(talk(worker), verbose=True)
    assert [turns(request) for request in worker.seen] == [[("user", "hello")], [("user", "again")]]
    printed = capsys.readouterr()
    assert "tokens/s" in printed.err
    assert next(typed) == "never"


def test_chat_goes_on_after_a_refused_turn_and_ends_at_ctrl_d(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed: Iterator[str | BaseException] = iter(["hello", KeyboardInterrupt(), EOFError()])

    def read(_prompt: str) -> str:
        one = next(typed)
        if isinstance(one, BaseException):
            raise one
        return one

    monkeypatch.setattr("builtins.input", read)
    chat(talk(Scripted(fail="bad_request")), verbose=False)
    assert "bad_request" in capsys.readouterr().err


def test_chat_goes_on_after_a_turn_that_no_worker_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["x" * WIRE_LINE_BYTES, "hello", "/bye"])
    monkeypatch.setattr("builtins.input", lambda _prompt: next(typed))
    start = trial_start(Digest("a" * 64), trial_demand(Model(), Config().engine))
    with (
        FakeLauncher() as launcher,
        LocalWorker(LauncherClient(launcher.client), start, TEXT) as worker,
    ):
        sampling = Sampling(max_tokens=100)
        chat(Conversation(worker=worker, sampling=sampling, system=None), verbose=False)
    printed = capsys.readouterr()
    assert "prompt_too_long" in printed.err
    assert "you said" in printed.out
    assert "xxx" not in printed.out  # the turn is forgotten


def test_speed_line() -> None:
    assert "2 tokens (stop)" in speed_line(talk(Scripted()).ask("x", show=False))
