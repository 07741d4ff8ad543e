"""The client against a peer that answers as scripted, over a real socket."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from corral.control.client import LauncherClient
from corral.core.errors import CorralError, IpcError
from corral.ipc.messages import (
    Done,
    Message,
    NextWorker,
    NoMore,
    Refused,
    Reload,
    Started,
    StartScan,
    StopWorker,
    WorkerEnded,
    WorkerStatus,
    decode_message,
    encode_message,
)
from corral.ipc.socket import receive_frame, send_frame, socket_pair

Step = Callable[[socket.socket, Message, int], None]
STARTED = Started(5, 99, "crun", "namespaces")


def reply(message: Message, fds: Sequence[int] = (), *, shift: int = 0) -> Step:
    def step(sock: socket.socket, _request: Message, request_id: int) -> None:
        send_frame(sock, encode_message(message, request_id + shift), fds)

    return step


def raw(frame: bytes, fds: Sequence[int] = ()) -> Step:
    return lambda sock, _request, _id: send_frame(sock, frame, fds)


def event(message: Message, fds: Sequence[int] = ()) -> Step:
    return lambda sock, _request, _id: send_frame(sock, encode_message(message, 0), fds)


@contextmanager
def answering(*turns: Sequence[Step]) -> Iterator[tuple[LauncherClient, list[Message]]]:
    """Yield a client whose peer takes one request for each turn, then closes."""
    ours, theirs = socket_pair()
    seen: list[Message] = []

    def serve() -> None:
        with theirs:
            for steps in turns:
                decoded = decode_message(receive_frame(theirs)[0])
                assert decoded is not None
                seen.append(decoded[0])
                for step in steps:
                    step(theirs, *decoded)

    thread = threading.Thread(target=serve)
    thread.start()
    client = LauncherClient(ours)
    before = len(os.listdir("/proc/self/fd"))
    try:
        yield client, seen
        thread.join(5)
        # The peer's end is closed by now; nothing else may be left open or missing.
        assert len(os.listdir("/proc/self/fd")) == before - 1
    finally:
        client.close()
        thread.join(5)


def test_start_gives_three_descriptors() -> None:
    with answering([reply(STARTED, [0, 1, 2])]) as (client, seen):
        started, fds = client.start(StartScan("a"))
        assert started == STARTED
        assert len(fds) == 3
        for fd in fds:
            os.close(fd)
        assert seen == [StartScan("a")]


@pytest.mark.parametrize("count", [0, 2, 4])
def test_start_with_another_number_of_descriptors(count: int) -> None:
    with (
        answering([reply(STARTED, [0] * count)]) as (client, _),
        pytest.raises(IpcError, match="unexpected_reply"),
    ):
        client.start(StartScan("a"))


def test_a_refusal_is_raised_with_its_remedy() -> None:
    with answering([reply(Refused("model_missing", "no such", "pull it"), [0])]) as (client, _):
        with pytest.raises(CorralError) as caught:
            client.start(StartScan("a"))
        error = caught.value
        assert (error.code, error.message, error.remedy) == ("model_missing", "no such", "pull it")


@pytest.mark.parametrize(
    "step",
    [
        reply(Done(), [0]),
        reply(STARTED, [0, 0, 0], shift=1),
        raw(b"\xff\0\0\0\1", [0]),
    ],
    ids=["other message", "other id", "unknown type"],
)
def test_answers_out_of_protocol_leave_no_descriptor(step: Step) -> None:
    with (
        answering([step]) as (client, _),
        pytest.raises(IpcError, match="unexpected_reply"),
    ):
        client.start(StartScan("a"))


def test_a_malformed_answer_leaves_no_descriptor() -> None:
    with (
        answering([raw(b"\x40\0", [0])]) as (client, _),
        pytest.raises(IpcError, match="frame_too_short"),
    ):
        client.start(StartScan("a"))


def test_a_launcher_that_has_gone() -> None:
    with answering([]) as (client, _), pytest.raises(IpcError, match="peer_gone"):
        client.stop(1)


def test_events_before_the_reply_are_kept_in_order() -> None:
    ended = WorkerEnded(5, "ok", "code 0")
    other = WorkerEnded(4, "killed", "stopped")
    steps = [event(Reload(), [0]), event(other), event(ended), reply(Done())]
    with answering(steps) as (client, seen):
        client.stop(5)
        assert seen == [StopWorker(5)]
        assert list(client.events) == [Reload(), other, ended]
        assert client.wait_ended(5) == ended
        with pytest.raises(IpcError, match="peer_gone"):
            client.wait_ended(4)


def test_waiting_reads_events_from_the_socket() -> None:
    ended = WorkerEnded(5, "memory", "memory limit")
    with answering([reply(Done()), event(ended, [0])]) as (client, _):
        client.stop(5)
        assert client.wait_ended(5) == ended


def test_workers_are_listed_until_there_are_no_more() -> None:
    def status(number: int) -> WorkerStatus:
        return WorkerStatus(number, "scan", "", "", "", 1, "crun", "namespaces", 0, 0)

    turns = ([reply(status(2))], [reply(status(7))], [reply(NoMore())])
    with answering(*turns) as (client, seen):
        assert [w.worker_id for w in client.workers()] == [2, 7]
        assert seen == [NextWorker(0), NextWorker(2), NextWorker(7)]


def test_connecting_to_a_server(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with pytest.raises(CorralError) as caught:
        LauncherClient.connect(path)
    assert caught.value.code == "not_running"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen(1)
        LauncherClient.connect(path).close()
