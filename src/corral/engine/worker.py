"""`corral-engine`: loads one model and answers requests over its own stdin and stdout.

Trust: jail zone. It holds no secret but the prompts of its one tenant; everything outside treats
its output as hostile. Input: `engine.wire` lines from the gateway, one model file.

A fixed pool of threads (one for each parallel request) exists before the first request, so that no
thread is ever made later. What a worker imports is in every tenant's memory and in the hands of
hostile code: hence the plain modules (`_thread` for `threading`, and so on), an allow-list of them
(tests/unit/engine/test_worker_modules.py), and types that only the type checker sees.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # built in; typeshed has no stub
import _thread
import os
import sys
import time
from _queue import SimpleQueue

from corral.core.limits import WIRE_LINE_BYTES
from corral.engine.allocator_unsafe import limit_arenas, release_free_memory
from corral.engine.drivers.interface import ConversationError, Engine, EngineOptions, MediaError
from corral.engine.drivers.xllamacpp import XllamacppEngine
from corral.engine.pacer import Pacer
from corral.engine.prompt_ids import PromptError
from corral.engine.seal import Seal, SealError
from corral.engine.translate import Turn, request_body
from corral.engine.worker_wire import (
    Cancel,
    Gathered,
    Generate,
    LineError,
    Media,
    encode_lines,
    fatal,
    parse_line,
    parse_load,
    ready,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final, NoReturn

    Line = dict[str, Any]

_STDIN: Final = 0
_STDOUT: Final = 1
_OPTIONS: Final = frozenset({
    "--model", "--context-tokens", "--parallel", "--threads", "--event-interval-ms", "--seal",
    "--landlock",
})  # fmt: skip
_LAID: Final[tuple[set[str], ...]] = (set(), {"--adapter", "--adapter-scale"}, {"--projector"})
"""What may be beside a model: nothing, an adapter or a projector."""


class Output:
    """Writes whole lines to stdout from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = _thread.allocate_lock()

    def send(self, messages: list[Line]) -> None:
        """Write messages, each as its line."""
        self.write(encode_lines(messages))

    def write(self, lines: bytes) -> None:
        """Write whole lines; it may block while the gateway does not read (back-pressure)."""
        view = memoryview(lines)
        with self._lock:
            while view:
                view = view[os.write(self._fd, view) :]


class Worker:
    """Multiplexes requests over a fixed pool of threads."""

    def __init__(
        self, engine: Engine, output: Output, parallel: int, *, interval_s: float = 0
    ) -> None:
        self._engine = engine
        self._pacer = Pacer(output.write, interval_s)
        self._gathered = Gathered()
        self._waiting: SimpleQueue[Generate] = SimpleQueue()
        self._started: SimpleQueue[None] = SimpleQueue()
        self._cancelled: set[int] = set()
        self._live: set[int] = set()
        for _ in range(parallel):
            _thread.start_new_thread(self._answer_forever, ())
        for _ in range(parallel):
            self._started.get()

    def take(self, message: Generate | Media | Cancel) -> None:
        """Queue a request, keep what is for the next one, or mark one as cancelled.

        Raises:
            LineError: images and sounds do not fit their request.
        """
        if isinstance(message, Media):
            self._gathered.add(message)
            return
        if isinstance(message, Cancel):
            if message.id in self._live:
                self._cancelled.add(message.id)
            return
        self._gathered.give(message)
        self._live.add(message.id)
        self._waiting.put(message)

    def _answer_forever(self) -> None:
        self._started.put(None)
        while True:
            request = self._waiting.get()
            turn = Turn(request.id, start=self._pacer.start, cancelled=self._cancelled)
            try:
                self._answer(request, turn)
            except PromptError:
                turn.refused("special_token")
            except (ConversationError, MediaError):
                turn.refused("bad_request")
            except Exception:
                turn.crashed()
            self._pacer.finish(turn)
            self._live.discard(request.id)
            self._cancelled.discard(request.id)

    def _answer(self, request: Generate, turn: Turn) -> None:
        if turn.is_cancelled():
            return
        body = request_body(request)
        if request.messages is not None:
            self._engine.chat(body, request.media, turn.take)
        else:
            self._engine.complete(body, turn.take)


def read_lines(fd: int) -> Iterator[bytes]:
    """Yield lines from a descriptor until end-of-file.

    Raises:
        LineError: a line is longer than `WIRE_LINE_BYTES`.
    """
    pending = bytearray()
    while data := os.read(fd, 65536):
        pending += data
        *lines, rest = pending.split(b"\n")
        pending = bytearray(rest)
        if any(len(line) >= WIRE_LINE_BYTES for line in (*lines, rest)):
            raise LineError("line too long")
        yield from (bytes(line) for line in lines)


def parse_options(argv: list[str]) -> EngineOptions:
    """Read the launcher's `--name value` pairs; argparse would cost each worker a MiB.

    Raises:
        ValueError: an option is missing, unknown or no number.
        KeyError: `--landlock` is neither `required` nor `optional`.
    """
    values = dict(zip(argv[::2], argv[1::2], strict=True))
    laid = set(values) - _OPTIONS
    if set(values) - laid != _OPTIONS or laid not in _LAID:
        raise ValueError(f"the worker takes {', '.join(sorted(_OPTIONS))}")
    scale = int(values.get("--adapter-scale", 0)) / 1000
    options = EngineOptions(
        model_path=values["--model"],
        context_tokens=int(values["--context-tokens"]),
        parallel=int(values["--parallel"]),
        threads=int(values["--threads"]),
        event_interval_ms=int(values["--event-interval-ms"]),
        sealed_profile=values["--seal"],
        landlock={"required": True, "optional": False}[values["--landlock"]],
        adapter=(values["--adapter"], scale) if "--adapter" in laid else None,
    )
    options.projector = values.get("--projector", "")
    return options


def set_thread_policy(threads: int) -> None:
    """Choose how the engine's threads wait for each other; libgomp reads it at the import.

    Engines of several tenants share the cores. Threads that spin for long, as libgomp's do by
    default, cost two busy engines most of their speed; threads that never spin cost a lone one
    more than half. Short spins on a core of their own cost neither (docs/benchmarks.md).
    """
    os.environ["GOMP_SPINCOUNT"] = "2000"
    if threads >= len(os.sched_getaffinity(0)):
        # With fewer threads than cores, every engine would sit on the same first cores.
        os.environ["OMP_PROC_BIND"] = "true"


def give_up(output: Output, code: str, error: Exception) -> NoReturn:
    """Say why this worker cannot serve, and end it."""
    sys.stderr.write(f"{code}: {type(error).__name__}: {error}\n")
    output.send([fatal(code)])
    os._exit(1)  # the engine's threads may be in whatever state


def main() -> None:
    """Load the model named on the command line, seal this process, serve until stdin ends."""
    began = time.monotonic()
    options = parse_options(sys.argv[1:])
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    output = Output(_STDOUT)
    set_thread_policy(options.threads)
    limit_arenas()
    engine: Engine = XllamacppEngine()
    lines = read_lines(_STDIN)
    try:
        seal = Seal(options.sealed_profile, landlock=options.landlock)
        files = (options.model_path, *(options.adapter or ())[:1], options.projector)
        seal.before_load(*filter(None, files))
        try:
            options.template, texts = parse_load(next(lines, b""))
            engine.load(options)
            special = sum(engine.is_special(text) for text in texts)
        except Exception as error:
            give_up(output, "load_failed", error)
        release_free_memory()
        seal.after_load()
        worker = Worker(
            engine, output, options.parallel, interval_s=options.event_interval_ms / 1000
        )
        seal.finish()
    except SealError as error:
        give_up(output, "seal_failed", error)
    output.send([ready(engine.name, int((time.monotonic() - began) * 1000), special)])
    for line in lines:
        worker.take(parse_line(line))
    os._exit(0)  # engine threads may still compute; nobody waits for them


if __name__ == "__main__":
    main()
