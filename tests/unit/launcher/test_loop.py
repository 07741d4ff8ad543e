"""The event loop with real sockets and children, in a process of its own for each test.

Jails are ordinary children here (`sleep`); tests/integration/launcher has real ones.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.home import Home
from corral.ipc.messages import (
    OPERATOR_STOP,
    Done,
    NextWorker,
    NoMore,
    Reload,
    StopWorker,
    WorkerEnded,
    WorkerStatus,
    encode_message,
)
from corral.ipc.socket import receive_frame, send_frame, socket_pair
from corral.launcher import pen as pen_module
from corral.launcher import spawn_unsafe, stage
from corral.launcher.events import EventLog
from corral.launcher.host import Host
from corral.launcher.jails import Jail, JailTable
from corral.launcher.loop import Channel, Loop
from corral.launcher.pen import Pen
from corral.launcher.requests import Requests
from corral.launcher.session import Role
from tests.support.children import ended, in_child


@dataclass
class Parts:
    """A loop and what it works with."""

    loop: Loop
    jails: JailTable
    requests: Requests
    alive: int

    def step(self, seconds: float = 5) -> list[str]:
        ended = self.loop.step(self.requests, time.monotonic() + seconds)
        return [f"{outcome.status} {outcome.reason}" for _, outcome in ended]

    def client(self, role: Role) -> tuple[LauncherClient, Channel]:
        ours, theirs = socket_pair()
        ours.settimeout(30)
        return LauncherClient(ours), self.loop.add_channel(theirs, role)

    def jail(
        self, owner: int = 1, *, kind: str = "scan", command: str = "exec sleep 60"
    ) -> tuple[Jail, int]:
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", command], {})
        worker_id = self.jails.reserve()
        made = Jail(
            worker_id=worker_id, kind=kind, name=f"scan-{worker_id}", pid=pid, host_pid=pid,
            owner=owner,
        )  # fmt: skip
        self.jails.add(made)
        return made, pid


Check = Callable[[Parts], object]


@pytest.fixture
def looped(
    home: Home, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Check], str]:
    """Run a check in a child with a loop of its own; return what it returns."""
    for name in ("bundles", "runtime"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(spawn_unsafe, name.upper(), tmp_path / name)
    monkeypatch.setattr(stage, "BUNDLES", tmp_path / "bundles")

    def run(check: Check) -> str:
        def look() -> str:
            alive, hold = os.pipe()
            jails = JailTable()
            log = EventLog(tmp_path / "launcher.log")
            pen = Pen(host, jails, -1, log)
            loop = Loop(pen=pen, jails=jails, log=log, alive=alive)
            requests = Requests(
                home=home, config=Config(), pen=pen, jails=jails, log=log,
                on_gateway_ready=lambda: None,
            )  # fmt: skip
            return str(check(Parts(loop, jails, requests, hold)))

        return in_child(look)

    return run


Looped = Callable[[Check], str]


def wait_dead(pid: int) -> None:
    """Wait for a child's end and leave it unburied."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_step_ends_in_time(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        began = time.monotonic()
        assert parts.step(0.05) == []
        return time.monotonic() - began < 60 and parts.loop.running

    assert looped(check) == "True"


def test_it_ends_with_its_monitor(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        os.close(parts.alive)
        parts.step()
        return parts.loop.running

    assert looped(check) == "False"


def test_signals_are_noted_in_order(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        parts.step()
        return parts.loop.signals == [signal.SIGHUP, signal.SIGTERM]

    assert looped(check) == "True"


def test_a_request_is_answered(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        client, _ = parts.client(Role.JOB)
        send_frame(client._sock, encode_message(NextWorker(0), 9))
        parts.step()
        return receive_frame(client._sock)[0] == encode_message(NoMore(), 9)

    assert looped(check) == "True"


def test_the_end_of_a_jail_is_told_to_its_owner_and_to_who_waits(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        owner, channel = parts.client(Role.GATEWAY)
        operator, _ = parts.client(Role.OPERATOR)
        jail, _ = parts.jail(channel.session.identity)
        send_frame(operator._sock, encode_message(StopWorker(jail.worker_id), 4))
        ended = parts.step()
        while not ended:
            ended = parts.step()
        assert receive_frame(operator._sock)[0] == encode_message(Done(), 4)
        event = owner.wait_ended(jail.worker_id)
        return (
            ended,
            event == WorkerEnded(jail.worker_id, "killed", OPERATOR_STOP),
            len(parts.jails),
        )

    assert looped(check) == "(['killed stopped by the operator'], True, 0)"


def test_a_jail_is_killed_at_its_deadline(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        jail, _ = parts.jail()
        jail.deadline = time.monotonic() + 0.1
        steps = []
        while not (steps and steps[-1]):
            steps.append(parts.step())
        return steps[-1]

    assert looped(check) == "['timeout deadline']"


@pytest.mark.claim("BLAST-01")
def test_a_jail_that_was_stopped_is_killed_at_once(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        _, pid = parts.jail()
        os.kill(pid, signal.SIGSTOP)
        ended: list[str] = []
        for _ in range(100):  # it has no deadline, so that only a kill ends it
            ended += parts.step(0.5)
            if ended:
                break
        return ended + parts.step(0.5)

    assert looped(check) == "['signaled SIGKILL']"


def test_a_gateway_is_buried_before_its_workers(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        for kind in ("gateway", "scan", "scan"):
            _, pid = parts.jail(kind=kind, command="exit 3")
            wait_dead(pid)
        began = time.monotonic()
        steps = [len(parts.step()) for _ in range(3)]
        return steps[:2], sum(steps), time.monotonic() - began < 4

    assert looped(check) == "([1, 1], 3, True)"


def test_what_was_said_in_time_is_heard_before_a_deadline(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        client, channel = parts.client(Role.GATEWAY)
        jail, _ = parts.jail(channel.session.identity)
        jail.deadline = time.monotonic() - 1
        send_frame(client._sock, encode_message(NextWorker(0), 9))
        parts.step()
        heard = jail.timed_out
        parts.step(0)
        parts.loop.kill_everything()
        return heard, jail.timed_out

    assert looped(check) == "(False, True)"


def test_children_that_are_no_jails_are_reaped(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        _, pid = parts.jail(command="exit 3")
        stranger = os.posix_spawn("/bin/true", ["true"], {})
        for child in (pid, stranger):
            wait_dead(child)
        ended: list[str] = []
        for _ in range(4):
            ended += parts.step(0.2)
        alive = [p for p in (pid, stranger) if os.path.exists(f"/proc/{p}")]
        return ended, alive

    assert looped(check) == "(['exited code 3'], [])"


def test_jails_end_with_their_channel(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        client, channel = parts.client(Role.GATEWAY)
        jail, _ = parts.jail(channel.session.identity)
        gateway, _ = parts.jail(channel.session.identity, kind="gateway")
        other, _ = parts.jail(channel.session.identity + 1)
        client.close()
        parts.step()
        parts.loop.close_channel(channel)  # a second time changes nothing
        marks = [jail.stopped_by_us, gateway.stopped_by_us, other.stopped_by_us]
        due = gateway.deadline is not None
        parts.loop.kill_everything()
        return marks, due, len(parts.jails), parts.loop.running

    assert looped(check) == "([True, False, False], True, 0, True)"


def test_a_job_ends_with_its_channel(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        client, _ = parts.client(Role.JOB)
        client.close()
        parts.step()
        return parts.loop.running

    assert looped(check) == "False"


def test_who_has_gone_gets_nothing(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        client, channel = parts.client(Role.GATEWAY)
        client.close()
        parts.loop.send(channel.session.identity, Reload())
        parts.loop.send(channel.session.identity, Reload())
        parts.loop._serve(channel.sock, parts.requests)  # an event of a channel closed meanwhile
        return parts.loop._channels

    assert looped(check) == "{}"


def test_who_does_not_read_is_dropped(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        client, channel = parts.client(Role.GATEWAY)
        sent = 0
        while parts.loop._channels:
            parts.loop.send(channel.session.identity, Reload())
            sent += 1
        client.close()
        return 1 < sent < 100_000

    assert looped(check) == "True"


def test_answers_nobody_reads_close_the_channel(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        client, channel = parts.client(Role.OPERATOR)
        parts.jail()
        while True:  # fill the channel with answers
            try:
                status = WorkerStatus(1, "scan", "", "", "", 1, "", "", 0, 0)
                send_frame(channel.sock, encode_message(status, 1))
            except BlockingIOError:
                break
        send_frame(client._sock, encode_message(NextWorker(0), 2))
        parts.step()
        parts.loop.kill_everything()
        return parts.loop._channels

    assert looped(check) == "{}"


def test_an_operator_gets_the_place_of_one_who_left_while_nobody_listened(
    looped: Looped, tmp_path: Path
) -> None:
    def check(parts: Parts) -> object:
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.bind(str(tmp_path / "control"))
        control.listen()
        parts.loop.listen(control)
        operators = [parts.client(Role.OPERATOR)[0] for _ in range(16)]
        late = LauncherClient.connect(tmp_path / "control")  # before the other's end is seen
        operators[0].close()
        parts.step()
        taken = len(parts.loop._channels)
        refused = LauncherClient.connect(tmp_path / "control")  # control: now there is no place
        parts.step()
        late.close()
        return taken, len(parts.loop._channels), refused._sock.recv(1)

    assert looped(check) == "(16, 16, b'')"


def test_a_wake_without_data_is_nothing(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        client, channel = parts.client(Role.OPERATOR)
        parts.loop._serve(channel.sock, parts.requests)
        client.close()
        return len(parts.loop._channels)

    assert looped(check) == "1"


def test_the_wake_pipe_is_emptied_to_its_end(looped: Looped) -> None:
    def check(parts: Parts) -> object:
        signal.set_wakeup_fd(-1)
        parts.loop._wake_write.send(b"x" * 5000)
        parts.loop._wake_write.close()
        parts.loop._drain_wake()
        return parts.loop._wake.recv(1)

    assert looped(check) == "b''"


def test_a_jail_that_does_not_die_is_not_waited_for_forever(
    looped: Looped, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(parts: Parts) -> object:
        # Somebody else's child: it is killed, but its end never comes to us.
        with ended(
            subprocess.Popen(["/bin/sh", "-c", "sleep 60 & echo $!"], stdout=subprocess.PIPE)
        ) as p:
            assert p.stdout is not None
            pid = int(p.stdout.readline())
            p.wait()
        worker_id = parts.jails.reserve()
        parts.jails.add(Jail(
            worker_id=worker_id, kind="scan", name="scan-1", pid=pid, host_pid=0, owner=1
        ))  # fmt: skip
        began = time.monotonic()
        clock = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: began + (clock() - began) * 100)
        parts.loop.kill_everything()
        return len(parts.jails)

    assert looped(check) == "1"


def test_pen_measures_nothing_of_the_dead() -> None:
    assert pen_module.Pen.resident_bytes(
        Jail(worker_id=1, kind="scan", name="a", pid=2**22 + 1, host_pid=0, owner=1)
    ) == 0  # fmt: skip
