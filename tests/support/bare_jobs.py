"""The launcher's side of the wire for admission's jobs, which it starts as plain processes.

It speaks the production protocol, so that the client side is tested as it is; only the jail is
missing (tests/security and tests/e2e have it).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from corral.control.client import LauncherClient
from corral.core.home import Home
from corral.ipc.messages import (
    Done,
    Message,
    Started,
    StartFetch,
    StartScan,
    StopWorker,
    WorkerEnded,
    decode_message,
    encode_message,
)
from corral.ipc.socket import close_all, receive_frame, send_frame, socket_pair

TIMEOUT = 124
"""A job that ends with this code counts as one whose time was up."""


@contextmanager
def bare_jobs(home: Home, program: str | None = None) -> Iterator[LauncherClient]:
    """Yield a client of a launcher without jails.

    Args:
        home: whose quarantine the jobs see.
        program: Python source that runs in place of every job: a hostile one.
    """
    ours, theirs = socket_pair()
    running: dict[int, subprocess.Popen[bytes]] = {}

    def start(message: StartFetch | StartScan, worker_id: int) -> list[int]:
        passed: tuple[int, ...] = ()
        if isinstance(message, StartFetch):
            folder = home.quarantine / message.folder
            folder.mkdir(parents=True, exist_ok=True)
            command = ["-m", "corral.admission.fetch.job", str(folder)]
        else:
            fd = os.open(home.quarantine / message.name, os.O_RDONLY)
            passed = (fd,)
            command = ["-m", "corral.admission.scan.job", "--candidate", f"/proc/self/fd/{fd}"]
            folder = home.quarantine / message.beside
            command += ["--beside", str(folder)]
        if program is not None:
            command = ["-c", program, str(folder)]
        pipes = [os.pipe() for _ in range(3)]
        running[worker_id] = subprocess.Popen(
            [sys.executable, *command],
            stdin=pipes[0][0], stdout=pipes[1][1], stderr=pipes[2][1], pass_fds=passed,
        )  # fmt: skip
        close_all([pipes[0][0], pipes[1][1], pipes[2][1], *passed])
        return [pipes[0][1], pipes[1][0], pipes[2][0]]

    def serve() -> None:
        next_id = 1
        while True:
            frame, _ = receive_frame(theirs)
            if not frame:
                return
            decoded = decode_message(frame)
            assert decoded is not None
            message, request_id = decoded
            reply: Message = Done()
            fds: list[int] = []
            if isinstance(message, StartFetch | StartScan):
                fds = start(message, next_id)
                reply = Started(next_id, running[next_id].pid, "none", "none")
                next_id += 1
            elif isinstance(message, StopWorker):
                running[message.worker_id].kill()
                running.pop(message.worker_id).wait()
            send_frame(theirs, encode_message(reply, request_id), fds)
            close_all(fds)
            if isinstance(message, StartFetch | StartScan):
                threading.Thread(target=reap, args=(next_id - 1,), daemon=True).start()

    def reap(worker_id: int) -> None:
        process = running.get(worker_id)
        if process is not None:
            code = process.wait()
            if worker_id in running:
                status = {0: "ok", TIMEOUT: "timeout"}.get(code, "exited")
                event = WorkerEnded(worker_id, status, f"code {code}")
                try:
                    send_frame(theirs, encode_message(event, 0))
                except OSError:
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield LauncherClient(ours)
    finally:
        ours.close()
        thread.join()
        for process in list(running.values()):
            process.kill()
            process.wait()
        theirs.close()
