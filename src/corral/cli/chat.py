"""Talk to one worker: send a request, print its answer as it comes, stop it on Ctrl-C.

Trust: operator side. Input: text of a hostile model; printed without control characters.
"""

from __future__ import annotations

import io
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corral.cli.terminal import plain_text, print_error, print_note
from corral.core.errors import CorralError
from corral.engine.wire import Chunk, Failed, Generate, Message, Sampling

if TYPE_CHECKING:
    from corral.engine.local import LocalWorker

_FAILURES = {
    "context_length_exceeded": CorralError(
        "context_length_exceeded",
        "the conversation is longer than the model's context",
        remedy="start over with /clear, or raise engine.context_tokens",
    ),
    "special_token": CorralError(
        "special_token", "the text holds one of the model's control tokens"
    ),
    "bad_request": CorralError("bad_request", "the engine refused the request"),
    "engine_error": CorralError(
        "engine_error", "the engine failed on this request", remedy="see: corral show MODEL"
    ),
}

_TURN_ONLY = frozenset({*_FAILURES, "prompt_too_long"})
"""After these the worker takes the next turn; after any other it has gone."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One finished answer.

    Attributes:
        text: as the model gave it, control characters and all.
        reason: `stop`, `length` or `cancelled`.
        first_token_s: time from the request to its first text.
        total_s: time from the request to its end.
    """

    text: str
    reason: str
    prompt_tokens: int
    completion_tokens: int
    first_token_s: float
    total_s: float

    @property
    def tokens_per_s(self) -> float:
        """Decoding speed, without the time to the first token."""
        span_s = self.total_s - self.first_token_s
        return (self.completion_tokens - 1) / span_s if span_s > 0 else 0.0


class Conversation:
    """Messages so far, and the worker that answers them."""

    def __init__(self, *, worker: LocalWorker, sampling: Sampling, system: str | None) -> None:
        self._worker = worker
        self._sampling = sampling
        self._start = (Message("system", system),) if system else ()
        self._messages: tuple[Message, ...] = self._start
        self._next_id = 1

    def clear(self) -> None:
        """Forget everything but the system message."""
        self._messages = self._start

    def ask(self, prompt: str, *, show: bool) -> Answer:
        """Send one turn and return its answer; Ctrl-C ends the answer early.

        Args:
            prompt: the user's text.
            show: print the answer while it comes.

        Raises:
            CorralError: the engine could not answer; the turn is forgotten.
        """
        request = Generate(
            id=self._next_id,
            sampling=self._sampling,
            messages=(*self._messages, Message("user", prompt.encode(errors="replace").decode())),
        )
        self._next_id += 1
        parts: list[str] = []
        begun = time.monotonic()
        first = 0.0
        with _cancelled_by_ctrl_c(self._worker, request.id):
            for event in self._worker.generate(request):
                if isinstance(event, Chunk):
                    first = first or time.monotonic() - begun
                    parts.append(event.text)
                    if show:
                        sys.stdout.write(plain_text(event.text))
                        sys.stdout.flush()
                elif isinstance(event, Failed):
                    raise _FAILURES.get(event.code, _FAILURES["engine_error"])
                else:
                    end = event
        if show:
            sys.stdout.write("\n")
        text = "".join(parts)
        self._messages = (*(request.messages or ()), Message("assistant", text))
        return Answer(
            text=text, reason=end.reason, prompt_tokens=end.usage.prompt_tokens,
            completion_tokens=end.usage.completion_tokens, first_token_s=first,
            total_s=time.monotonic() - begun,
        )  # fmt: skip


def chat(conversation: Conversation, *, verbose: bool) -> None:
    """Read turns from the terminal until Ctrl-D or /bye.

    Turns can be edited and found again with the arrow keys; they are written nowhere.
    """
    import readline

    readline.set_history_length(1000)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # a typed byte that is no UTF-8 ends no chat
    print_note("Ctrl-C stops an answer, Ctrl-D or /bye leaves, /clear starts over")
    while True:
        try:
            prompt = input(">>> ").strip()
        except EOFError:
            sys.stdout.write("\n")
            return
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            continue
        if prompt == "/bye":
            return
        if prompt == "/clear":
            conversation.clear()
            print_note("forgotten")
        elif prompt.startswith("/"):
            print_note("commands: /clear, /bye")
        elif prompt:
            try:
                answer = conversation.ask(prompt, show=True)
            except CorralError as error:
                if error.code not in _TURN_ONLY:
                    raise
                print_error(error, as_json=False)
                continue
            if verbose:
                print_note(speed_line(answer))


def speed_line(answer: Answer) -> str:
    """Return an answer's figures in one line."""
    return (
        f"{answer.completion_tokens} tokens ({answer.reason}), "
        f"first after {answer.first_token_s * 1000:.0f} ms, "
        f"then {answer.tokens_per_s:.1f} tokens/s; prompt {answer.prompt_tokens} tokens"
    )


@contextmanager
def _cancelled_by_ctrl_c(worker: LocalWorker, request_id: int) -> Iterator[None]:
    """Make the first Ctrl-C cancel the request and the second one interrupt as usual."""
    before = signal.getsignal(signal.SIGINT)

    def cancel(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        worker.cancel(request_id)

    signal.signal(signal.SIGINT, cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
