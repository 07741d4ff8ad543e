"""One worker for the caller alone: a blocking client for `corral run` and the trial load.

Trust: command line (operator's side). Input: a hostile worker's stdout through `Conversation`;
its stderr is read and thrown away, so that a chatty engine cannot stall.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Final, Self

from corral.control.client import LauncherClient
from corral.core.errors import CorralError
from corral.core.limits import MIB, WIRE_LINE_BYTES
from corral.engine.conversation import Conversation
from corral.engine.wire import (
    SEAL_FAILED,
    Cancel,
    Chunk,
    End,
    Failed,
    Fatal,
    FromWorker,
    Generate,
    Load,
    Ready,
    WireError,
    encode_line,
    media_lines,
)
from corral.ipc.messages import StartEngine, WorkerEnded

_READ_BYTES: Final = 64 * 1024
FIRST_CHUNK_S: Final = 300.0
NEXT_CHUNK_S: Final = 60.0
_LOADING_S: Final = 0.1


class LocalWorker:
    """A jailed worker for one request at a time; a context manager that leaves nothing behind.

    Attributes:
        ready: what the worker said of itself when the model was loaded.
        pid: its process id as the host sees it; 0 if the launcher could not read it.
        tier: sandbox tier of its jail.
    """

    def __init__(
        self, launcher: LauncherClient, start: StartEngine, template: str,
        load_timeout_s: float = 120,
        *, loading: Callable[[int], None] | None = None, silence_s: float = FIRST_CHUNK_S,
        special: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Prepare a worker; entering the context starts it.

        Args:
            launcher: starts its jail.
            start: what to start.
            template: chat template of the model's receipt.
            special: texts of which `ready` is to say how many are special tokens.
            load_timeout_s: longest wait for its model.
            loading: called some times a second while it loads, with its resident memory in bytes
                as the launcher reads it (0: not readable).
            silence_s: longest wait for the first piece of an answer.
        """
        self._launcher = launcher
        self._start = start
        self._load = Load(template, tuple(special))
        self._load_timeout_s = load_timeout_s
        self._loading = loading
        self._silence_s = silence_s
        self._conversation = Conversation()
        self._selector = selectors.DefaultSelector()
        self._fds: tuple[int, int, int] | None = None
        self._worker_id = 0
        self.pid, self.tier = 0, ""
        self._inbox: list[FromWorker] = []
        self.ready = Ready(engine="", load_ms=0)

    def __enter__(self) -> Self:
        """Start the worker and wait until its model is loaded.

        Raises:
            CorralError: `model_load_failed`, `model_load_timeout`, `seal_failed`, `worker_failed`,
                `worker_out_of_memory`, or the launcher's own refusal.
        """
        started, self._fds = self._launcher.start(self._start)
        self._worker_id, self.pid, self.tier = started.worker_id, started.pid, started.tier
        stdin, stdout, stderr = self._fds
        try:
            os.set_blocking(stdin, False)
            os.set_blocking(stderr, False)
            self._selector.register(stdout, selectors.EVENT_READ)
            self._selector.register(stderr, selectors.EVENT_READ)
            self._write(encode_line(self._load))
            self.ready = self._loaded()
            self._launcher.confirm_sealed(self._worker_id)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill the worker."""
        self.close()

    def close(self) -> None:
        """Kill the worker and close its pipes; harmless when repeated."""
        if self._fds is None:
            return
        fds, self._fds = self._fds, None
        self._selector.close()
        try:
            # Before its pipes close: else it would end by itself, now and then, of a closed stdin.
            self._launcher.stop(self._worker_id)
        except CorralError:
            return  # it is gone already, and so is everything of it
        finally:
            for fd in fds:
                os.close(fd)

    def generate(
        self, request: Generate, media: tuple[bytes, ...] = ()
    ) -> Iterator[Chunk | End | Failed]:
        """Send `request` and yield its answer: chunks, then one `End` or `Failed`.

        Args:
            request: with an id of its own.
            media: images of its messages, in their order.

        Raises:
            CorralError: `prompt_too_long` (the worker has not heard of it and takes the next
                request), `worker_failed`, `worker_timeout`, `worker_out_of_memory`.
        """
        try:
            lines = b"".join(map(encode_line, media_lines(request.id, media)))
            lines += encode_line(request)
        except WireError as error:
            raise prompt_too_long() from error
        self._conversation.opened(request)
        self._write(lines)
        deadline = time.monotonic() + self._silence_s
        while True:
            message = self._next(deadline, "worker_timeout")
            if not isinstance(message, Chunk | End | Failed):
                raise _failed()
            if message.id == request.id:
                yield message
                if not isinstance(message, Chunk):
                    return
            deadline = time.monotonic() + min(self._silence_s, NEXT_CHUNK_S)

    def cancel(self, request_id: int) -> None:
        """Ask the worker to end a request early; its `End` still comes through `generate`."""
        self._conversation.cancelled(request_id)
        self._write(encode_line(Cancel(request_id)))

    def _loaded(self) -> Ready:
        deadline = time.monotonic() + self._load_timeout_s
        while self._loading and not self._inbox and time.monotonic() < deadline:
            self._loading(self._resident_bytes())
            self._poll(_LOADING_S)
        first = self._next(deadline, "model_load_timeout")
        if isinstance(first, Fatal) and first.code == SEAL_FAILED:
            raise CorralError(
                SEAL_FAILED, "the engine worker could not lock itself in, so it was not used",
                remedy="see: corral doctor",
            )  # fmt: skip
        if isinstance(first, Fatal):
            raise CorralError("model_load_failed", "the engine cannot load this model")
        if not isinstance(first, Ready):
            raise _failed()
        return first

    def _resident_bytes(self) -> int:
        found = (w.rss_bytes for w in self._launcher.workers() if w.worker_id == self._worker_id)
        return next(found, 0)

    def _pipes(self) -> tuple[int, int, int]:
        if self._fds is None:
            raise _failed()
        return self._fds

    def _write(self, line: bytes) -> None:
        stdin = self._pipes()[0]
        view = memoryview(line)
        deadline = time.monotonic() + NEXT_CHUNK_S
        while view:
            try:
                view = view[os.write(stdin, view) :]
            except BlockingIOError:
                self._poll(0.01)
                if time.monotonic() > deadline:
                    raise self._timeout("worker_timeout") from None
            except OSError as error:
                raise self._ended() from error

    def _next(self, deadline: float, timeout_code: str) -> FromWorker:
        while not self._inbox:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise self._timeout(timeout_code)
            self._poll(left_s)
        return self._inbox.pop(0)

    def _poll(self, wait_s: float) -> None:
        _, stdout, stderr = self._pipes()
        for key, _ in self._selector.select(wait_s):
            try:
                data = os.read(key.fd, _READ_BYTES)
            except BlockingIOError:
                continue
            if key.fd == stderr:
                if not data:
                    self._selector.unregister(stderr)
            elif key.fd == stdout:
                if not data:
                    raise self._ended()
                try:
                    self._inbox += self._conversation.feed(data)
                except WireError as error:
                    raise _failed() from error

    def _timeout(self, code: str) -> CorralError:
        what = "loading the model" if code == "model_load_timeout" else "the answer"
        return CorralError(code, f"the engine worker took too long for {what}; it was stopped")

    def _ended(self) -> CorralError:
        """Say why the worker has gone, as far as the launcher knows."""
        self.close()
        for event in self._launcher.events:
            if isinstance(event, WorkerEnded) and event.worker_id == self._worker_id:
                if event.status == "memory":
                    return CorralError(
                        "worker_out_of_memory",
                        "the engine worker used more memory than it may",
                        remedy="raise engine.memory_bytes or lower engine.context_tokens",
                    )
                return CorralError("worker_failed", f"the engine worker ended: {event.status}")
        return _failed()


def prompt_too_long() -> CorralError:
    """Return the error of a request that is longer than a worker reads at once."""
    return CorralError(
        "prompt_too_long",
        f"the conversation is longer than {WIRE_LINE_BYTES // MIB} MiB, which no worker takes",
        remedy="send less; in a chat, start over with /clear",
    )


def _failed() -> CorralError:
    return CorralError("worker_failed", "the engine worker broke off; it was stopped")
