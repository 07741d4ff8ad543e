"""A launcher that implements the production interface: frames over a socket, real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from corral.ipc.messages import (
    ConfirmSealed,
    Done,
    GatewayAlive,
    GatewayReady,
    Message,
    NextWorker,
    NoMore,
    OpenSecret,
    Refused,
    Secret,
    ShareCores,
    Started,
    StartEngine,
    StartGuard,
    StartMedia,
    StopWorker,
    WorkerEnded,
    WorkerStatus,
    decode_message,
    encode_message,
)
from corral.ipc.socket import receive_frame, send_frame, socket_pair

WORKER = Path(__file__).with_name("fake_worker.py")
GUARD = WORKER.with_name("fake_guard.py")
MEDIA = WORKER.with_name("fake_media.py")


class FakeLauncher:
    """Answers requests on a thread; workers are `fake_worker.py` in the mode of their model name.

    Attributes:
        client: the other end of the channel.
        modes: worker mode by model name; a list is used up one start at a time, the last stays.
        guard: mode of `fake_guard.py`, which `StartGuard` starts; empty: none is installed.
        media: mode of `fake_media.py`, which `StartMedia` starts, or `refuse`.
        media_starts: how many were asked for.
        secrets: content of `OpenSecret`.
        started: every `StartEngine` that came.
        live: running workers by id.
        alive: how many `GatewayAlive` came.
        confirmed: workers that were to be looked at; one in the mode `unsealed` says that it is
            ready and is not sealed.
    """

    def __init__(self, modes: dict[str, str | list[str]] | None = None) -> None:
        self.modes = modes or {}
        self.guard = ""
        self.media = "real"
        self.media_starts = 0
        self.secrets: dict[str, bytes] = {}
        self.started: list[StartEngine] = []
        self.stopped: list[int] = []
        self.live: dict[int, subprocess.Popen[bytes]] = {}
        self.ready = threading.Event()
        self.alive = 0
        self.confirmed: list[int] = []
        self.shares: dict[int, int] = {}
        self._unsealed: set[int] = set()
        self._deaf = False
        self.client, self._sock = socket_pair()
        self._sock.settimeout(0.02)
        self._next_id = 1
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def deaf_to_workers(self) -> Iterator[None]:
        """Know of no worker that is to be looked at, as if it had ended just then."""
        self._deaf = True
        yield
        self._deaf = False

    def vanish(self) -> None:
        self._closing = True
        self._thread.join(10)
        self._sock.close()

    def close(self) -> None:
        self.vanish()
        for worker_id in list(self.live):
            self._end(worker_id)
        if self.client.fileno() >= 0:
            self.client.close()

    def send_event(self, event: Message) -> None:
        send_frame(self._sock, encode_message(event, 0))

    def _run(self) -> None:
        while not self._closing:
            try:
                frame, _ = receive_frame(self._sock)
            except TimeoutError:
                self._reap()
                continue
            except OSError:
                return
            if not frame:
                return
            decoded = decode_message(frame)
            assert decoded is not None
            message, request_id = decoded
            reply, fds = self._answer(message)
            send_frame(self._sock, encode_message(reply, request_id), fds)
            for fd in fds:
                os.close(fd)

    def _answer(self, message: Message) -> tuple[Message, list[int]]:  # noqa: PLR0912  one case each
        match message:
            case StartEngine():
                return self._start(message)
            case StopWorker(worker_id):
                if worker_id not in self.live:
                    return Refused("no_such_worker", "no such worker", ""), []
                self._end(worker_id)
                self.stopped.append(worker_id)
                self.send_event(WorkerEnded(worker_id, "killed", "asked"))
                return Done(), []
            case ConfirmSealed(worker_id):
                if worker_id not in self.live or self._deaf:
                    return Refused("no_such_worker", "no such worker", ""), []
                self.confirmed.append(worker_id)
                if worker_id in self._unsealed:
                    self._end(worker_id)
                    self.send_event(WorkerEnded(worker_id, "seal_failed", "not sealed"))
                    return Refused("seal_failed", "not sealed", ""), []
                return Done(), []
            case ShareCores(worker_id, percent) if worker_id in self.live:
                self.shares[worker_id] = percent
                return Done(), []
            case StartMedia():
                return self._start_media()
            case StartGuard():
                return self._start_guard()
            case OpenSecret(kind):
                if kind not in self.secrets:
                    return Refused("no_such_secret", "no such secret", ""), []
                reader, writer = os.pipe()
                os.write(writer, self.secrets[kind])
                os.close(writer)
                return Secret(), [reader]
            case GatewayReady():
                self.ready.set()
                return Done(), []
            case GatewayAlive():
                self.alive += 1
                return Done(), []
            case NextWorker(after):
                return self._status(after), []
        return Refused("not_permitted", "not permitted", ""), []

    def _status(self, after: int) -> Message:
        worker_id = min((w for w in self.live if w > after), default=0)
        if not worker_id:
            return NoMore()
        pid = self.live[worker_id].pid
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return WorkerStatus(
            worker_id=worker_id, kind="engine", tenant="", model="", digest="", pid=pid,
            runtime="fake", tier="namespaces", rss_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
            started_s=0,
        )  # fmt: skip

    def _start(self, message: StartEngine) -> tuple[Message, list[int]]:
        mode = self.modes.get(message.model, "echo")
        if isinstance(mode, list):
            mode = mode.pop(0) if len(mode) > 1 else mode[0]
        self.started.append(message)
        if mode == "refuse":
            return Refused("setup_error", "no", ""), []
        if mode == "taken":
            return Refused("no_exclusive_cores", "no", ""), []
        if mode == "unsealed":
            self._unsealed.add(self._next_id)
            mode = "echo"
        return self._run_worker([str(WORKER), mode])

    def _start_guard(self) -> tuple[Message, list[int]]:
        if not self.guard:
            return Refused("detector_missing", "no detector is installed", ""), []
        return self._run_worker([str(GUARD), self.guard])

    def _start_media(self) -> tuple[Message, list[int]]:
        self.media_starts += 1
        if self.media == "refuse":
            return Refused("media_busy", "no", ""), []
        return self._run_worker([str(MEDIA), self.media, *filter(None, sys.path)])

    def _run_worker(self, command: list[str]) -> tuple[Message, list[int]]:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={},
        )  # fmt: skip
        worker_id = self._next_id
        self._next_id += 1
        self.live[worker_id] = process
        fds = []
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            fds.append(os.dup(pipe.fileno()))
            pipe.close()
        return Started(worker_id, process.pid, "fake", "namespaces"), fds

    def _reap(self) -> None:
        for worker_id, process in list(self.live.items()):
            if process.poll() is not None:
                self._end(worker_id)
                status = "signaled" if process.returncode < 0 else "exited"
                self.send_event(WorkerEnded(worker_id, status, str(process.returncode)))

    def _end(self, worker_id: int) -> None:
        process = self.live.pop(worker_id)
        process.kill()
        process.wait(10)
